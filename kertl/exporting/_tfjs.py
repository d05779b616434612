"""TensorFlow.js, for browsers; its converter lives in an environment of its own and is called as a program.

Two environment variables say where things are: `KERTL_TFJS_CONVERTER`, the program `tensorflowjs_converter` (else it
is looked for on the PATH), and `NODE_PATH`, the folder `node_modules` that has `@tensorflow/tfjs`.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._runtimes import Runtime
from kertl.errors import ExportError
from kertl.exporting._contract import NOTE
from kertl.exporting._format import Format
from kertl.exporting._graph import (
    gelu_by_erf,
    groups_as_depthwise,
    holder,
    pictures_function,
    rolled_by_slices,
    write_saved_model,
)

_CONVERTER = "KERTL_TFJS_CONVERTER"
_LONGEST_SECONDS = 600
_UNKNOWN = "Unsupported Ops"  # in the converter's error; the line after it names them
_HOW = (
    "python -m venv tfjs && tfjs/bin/pip install tensorflowjs 'ydf<0.12', then set "
    f"{_CONVERTER}=tfjs/bin/tensorflowjs_converter"
)
_NODE_HOW = "npm install @tensorflow/tfjs, then set NODE_PATH to its node_modules"
# Loads a graph model from its files, as a browser loads it from a server, and predicts.
_SCRIPT = """
const fs = require('fs'), path = require('path'), tf = require('@tensorflow/tfjs');
const [folder, input, output, ...shape] = process.argv.slice(1);
(async () => {
  const found = JSON.parse(fs.readFileSync(path.join(folder, 'model.json')));
  const manifest = found.weightsManifest, parts = manifest.flatMap(group => group.paths);
  const bytes = Buffer.concat(parts.map(part => fs.readFileSync(path.join(folder, part))));
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const weightSpecs = manifest.flatMap(group => group.weights);
  const model = await tf.loadGraphModel({load: async () => ({...found, weightSpecs, weightData})});
  const raw = fs.readFileSync(input);
  const pixels = new Float32Array(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  const said = model.predict(tf.tensor(pixels, shape.map(Number)));
  fs.writeFileSync(output, Buffer.from((await said.data()).buffer));
})().catch(error => { console.error(String(error)); process.exit(1); });
"""


class TensorFlowJs(Format):
    """A folder with `model.json`, its weights in shards, and `kertl.json`; checked in Node, without a browser."""

    name = "tfjs"
    most_checked: ClassVar[int | None] = 8  # Node computes in plain JavaScript, about a second per image

    def obstacle(self, quantize: str | None = None) -> str:
        """See `Format`."""
        if found := super().obstacle(quantize):
            return found
        if _converter() is None:
            return f"its converter is not there: {_HOW}. Node is needed too: {_NODE_HOW}"
        if shutil.which("node") is None:
            return "Node, in which the export is checked, is not on the PATH"
        if _run(["node", "-e", "require.resolve('@tensorflow/tfjs')"]).returncode:
            return f"Node does not find @tensorflow/tfjs, with which the export is checked: {_NODE_HOW}"
        return ""

    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """See `Format`."""
        module = holder(model)
        module.function = pictures_function(model, contract)
        with tempfile.TemporaryDirectory() as folder:
            with groups_as_depthwise(model), gelu_by_erf(), rolled_by_slices():  # it is traced while it is saved
                write_saved_model(module, Path(folder) / "saved", {"serving_default": module.function})
            forms = ["--input_format=tf_saved_model", "--output_format=tfjs_graph_model"]
            done = _run([str(_converter()), *forms, str(Path(folder) / "saved"), str(path)])
        if done.returncode or not (path / "model.json").is_file():
            raise ExportError(_failure(done))
        (path / NOTE).write_text(json.dumps(contract, indent=2), encoding="utf-8")

    def open(self, path: Path) -> Runtime:
        """See `Format`."""

        def run(images: np.ndarray) -> np.ndarray:
            with tempfile.TemporaryDirectory() as folder:
                given, gives = Path(folder) / "images", Path(folder) / "predictions"
                given.write_bytes(images.astype("<f4").tobytes())
                done = _run(["node", "-e", _SCRIPT, "--", str(path), str(given), str(gives), *map(str, images.shape)])
                if done.returncode:
                    raise ExportError(f"TensorFlow.js does not load {str(path)!r}: {_last_words(done)}")
                return np.frombuffer(gives.read_bytes(), "<f4").reshape(len(images), -1)

        return run


def _converter() -> str | None:
    named = os.environ.get(_CONVERTER)
    return shutil.which(named or "tensorflowjs_converter")


def _run(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    # With oneDNN TensorFlow fuses convolutions with hard swish, which no backend of TensorFlow.js computes.
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}
    try:
        return subprocess.run(  # noqa: S603, the programs that the user has named or installed
            command, capture_output=True, text=True, check=False, timeout=_LONGEST_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise ExportError(f"{command[0]!r} took longer than {_LONGEST_SECONDS} s and was stopped.") from error


def _failure(done: "subprocess.CompletedProcess[str]") -> str:
    """What is said where the converter failed: the operations that it does not know, or its last words."""
    said = _last_words(done)
    if _UNKNOWN in done.stderr:
        return f"TensorFlow.js has no {said}: operations of this model, which cannot be exported to it."
    return f"tensorflowjs_converter failed: {said}. It may need another version: {_HOW}."


def _last_words(done: "subprocess.CompletedProcess[str]") -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1][:500] if lines else f"exit status {done.returncode}"

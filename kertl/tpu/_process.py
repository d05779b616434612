"""Compiling in a process of its own, which has JAX as Keras' backend and no accelerator."""

import csv
import importlib.util
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kertl.errors import ArgumentError, KertlError, MissingPackageError
from kertl.recipe import Recipe
from kertl.run_files import local_run, read_json, read_text
from kertl.tpu._result import Compilation

_ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",  # what is run at all, such as drawing a head, runs here
    "TPU_SKIP_MDS_QUERY": "1",  # asks no metadata server which TPU this machine has
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_CHILD = "from kertl.tpu._process import child; child()"


def compile_for_tpu(
    run: str | Path | Recipe,
    topology: str = "v5e:2x2",
    *,
    build: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    precision: str = "mixed_bfloat16",
) -> Compilation:
    """Compile the training steps of a run, or of a recipe, for a TPU that need not be there; nothing is run.

    It takes from ten seconds for a frozen MobileNetV2 to minutes where everything trains. libtpu and JAX must be
    installed: `pip install 'kertl[tpu-compile]'`, on Linux.

    Args:
        run: A run directory of `kertl.fine_tune`, or a recipe, for a model that `build` describes.
        topology: As libtpu names it: "v5e:2x2", "v5e:4x4", "v6e:2x2".
        build: For a recipe, the arguments of `kertl.build`, without weights: `{"backbone": "MobileNetV2",
            "num_classes": 2, "input_shape": (96, 96, 3)}`.
        batch_size: Images per step, of all chips together; None for that of the run, or 128.
        precision: As in `kertl.Recipe`.

    Returns:
        For each stage the collectives, the arithmetic, and what is not multiplied in bfloat16.

    Raises:
        ModuleNotFoundError: If JAX or libtpu is missing.
        ValueError: If the run cannot be read, or the arguments do not fit together.
        KertlError: If it does not compile; the message has what the compiler said.
    """
    missing = [name for name in ("jax", "libtpu") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"Compiling for a TPU needs {' and '.join(missing)}: pip install 'kertl[tpu-compile]', on Linux."
        )
    asked = _asked(run, build)
    asked.update(topology=topology, precision=precision)
    if batch_size is not None:
        asked["batch_size"] = batch_size
    done = subprocess.run(  # noqa: S603, this interpreter, and our own line of code
        [sys.executable, "-c", _CHILD],
        input=json.dumps(asked),
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise KertlError(f"It does not compile for {topology}: {_last(done.stderr)}")
    told = json.loads(lines[-1])
    if "wrong" in told:
        raise ArgumentError(told["wrong"])
    return Compilation.from_dict(told)


def child() -> None:
    """Read what to compile from stdin, and write what the compiler said to stdout, both as JSON."""
    import kertl
    from kertl.tpu._lower import compile_here

    asked = json.loads(sys.stdin.read())
    try:
        recipe = Recipe.from_json(asked["recipe"])
        built = asked.get("build")
        model = kertl.load(asked["model"]) if built is None else kertl.build(**built, weights=None)
        options = {name: asked.get(name) for name in ("images", "precision")}
        told = compile_here(model, recipe, asked["topology"], asked["batch_size"], **options).to_dict()
    except ValueError as error:
        told = {"wrong": str(error)}
    sys.stdout.write("\n" + json.dumps(told) + "\n")


def _asked(run: str | Path | Recipe, build: Mapping[str, Any] | None) -> dict[str, Any]:
    if isinstance(run, Recipe):
        if build is None:
            raise ArgumentError("`build` must be the arguments of kertl.build with a recipe. Received: build=None.")
        return {"recipe": run.to_json(), "build": dict(build), "batch_size": 128}
    folder = local_run(run, "run")
    recipe, model, batches = folder / "recipe.json", folder / "model.keras", folder / "data.json"
    if gone := [path.name for path in (recipe, model, batches) if not path.is_file()]:
        raise ArgumentError(
            f"`run` must be the directory of a finished run. Received: run={str(run)!r}, without {', '.join(gone)}."
        )
    table = csv.DictReader(io.StringIO(read_text(folder / "data.csv"), newline=""))
    images = sum(row.get("split") == "train" for row in table)
    return {
        "recipe": read_text(recipe),
        "model": str(model),
        "batch_size": read_json(batches)["batch_size"],
        "images": images or None,
    }


def _last(errors: str) -> str:
    lines = [line for line in errors.splitlines() if line.strip() and not line.startswith(("WARNING", "I0", "W0"))]
    return "\n".join(lines[-3:]) or "nothing was said."

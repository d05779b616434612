"""A SavedModel for servers: batches of pictures, or the bytes of image files, go in."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._runtimes import Runtime
from kertl.evaluation import resize_of
from kertl.exporting._contract import NOTE
from kertl.exporting._format import Format
from kertl.exporting._graph import holder, pictures_function, write_saved_model

FILES = "image_files"
"""The signature that takes the bytes of image files."""


class SavedModel(Format):
    """A SavedModel with two signatures.

    `serving_default` takes `images`, a `uint8` batch, and gives `probabilities` or `values`. `image_files` takes
    `contents`, the bytes of image files, decodes and resizes them, and gives the same with the `class_names` (or
    `target_names`) of its columns; it is left out for models of other than 1 or 3 channels.
    """

    name = "saved_model"
    fixed_batch = False

    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """See `Format`."""
        import tensorflow as tf

        contract["input"]["dtype"] = "uint8"
        given, out = contract["input"], contract["output"]["name"]
        predictions = pictures_function(model, contract)
        module = holder(model)

        @tf.function(input_signature=[tf.TensorSpec(given["shape"], tf.uint8, name=given["name"])])
        def pictures(images: Any) -> dict[str, Any]:
            return {out: predictions(tf.cast(images, tf.float32))}

        signatures = {"serving_default": pictures}
        if given["shape"][-1] in (1, 3):
            given["resize"] = resize_of(model)
            signatures[FILES] = _for_files(predictions, contract)
        module.signatures_kept = list(signatures.values())
        write_saved_model(module, path, signatures)
        (path / NOTE).write_text(json.dumps({**contract, "signatures": list(signatures)}, indent=2), encoding="utf-8")

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))
        serve = loaded.signatures["serving_default"]

        def run(images: np.ndarray, kept: Any = loaded) -> np.ndarray:
            (found,) = serve(images=tf.constant(images)).values()
            return np.asarray(found)

        return run

    def also_checked(self, path: Path, files: list[str]) -> np.ndarray | None:
        """See `Format`."""
        import tensorflow as tf

        loaded = tf.saved_model.load(str(path))
        if FILES not in loaded.signatures:
            return None
        contract = json.loads((path / NOTE).read_text(encoding="utf-8"))
        contents = tf.constant([Path(file).read_bytes() for file in files])
        found = np.asarray(loaded.signatures[FILES](contents=contents)[contract["output"]["name"]])
        # Of two classes with one output, the signature gives both.
        return found[:, 1:] if contract["task"] == "binary" else found


def _for_files(predictions: Any, contract: dict[str, Any]) -> Any:
    """The signature for image files."""
    import tensorflow as tf

    from kertl.exporting._decoding import decoded

    (_, height, width, channels), out = contract["input"]["shape"], contract["output"]
    names = "target_names" if out["name"] == "values" else "class_names"
    resize = contract["input"]["resize"]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="contents")])
    def files(contents: Any) -> dict[str, Any]:
        pictures = tf.map_fn(
            lambda content: decoded(content, (height, width), channels, resize),
            contents,
            fn_output_signature=tf.TensorSpec((height, width, channels), tf.float32),
        )
        found = predictions(pictures)
        if contract["task"] == "binary":
            found = tf.concat([1 - found, found], axis=1)
        labels = tf.tile(tf.constant([out["labels"]]), [tf.shape(contents)[0], 1])
        return {names: labels, out["name"]: found}

    return files

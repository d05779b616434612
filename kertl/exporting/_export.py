"""`export`: a model in the form that it is needed in, checked against the model."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kertl import _checks
from kertl._checks import complain, integer
from kertl.exporting._model_card import check_card, write_card
from kertl.exporting._result import Export
from kertl.exporting._subject import subject_of
from kertl.exporting._write import check_place, format_named, written
from kertl.quantization import refuse_other_groups


def export(
    model_or_run: Any,
    path: str | Path,
    *,
    format: str = "keras",  # noqa: A002, the field's own word
    quantize: str | None = None,
    data: Any = None,
    images: int = 1000,
    batch: int | None = None,
    float_groups: Sequence[str] = (),
) -> Export:
    """Write a model in another format, load it again in its own runtime, and compare the two on real images.

    An export that does not load, or that disagrees with the model, is an error and leaves no file. What a program must
    know to use it (classes, size, resizing, range of pixels, thresholds, versions) is inside: the member `kertl.json`
    of a folder, attached to a `.tflite` file (any unzip reads it), or in the `metadata_props` of an `.onnx` file.
    Beside it `model_card.md` is written.

    Every format takes pictures of 0..255, at the size of the model, in a batch of any number unless `batch` fixes it.

    Args:
        model_or_run: A Keras model; a run of `kertl.fine_tune`; or the path of a run directory or of a `.keras` or
            `.h5` file.
        path: A file that ends in ".keras", ".tflite" or ".onnx", or a folder for the other formats. An export that is
            there is replaced.
        format: "keras", "saved_model" (pictures or the bytes of image files go in), "litert" (TensorFlow Lite),
            "onnx", "openvino" or "tfjs" (TensorFlow.js).
        quantize: For "litert": "float16" (half the size), "dynamic" (weights of 8 bits) or "int8" (everything in 8
            bits, `uint8` pixels go in). For "openvino": "int8", by NNCF. Activation ranges are measured on at most 128
            training images, of which each class has its share; for "litert" they are those of the training where a
            stage had `quantize="int8"`. None for float32.
        data: An `ImageData` or one of its datasets, or a folder with one folder of images per class. Its test images
            (validation, training images if there are none) are compared; by default those of the run. Without any,
            images of noise, which is logged.
        images: How many of them at most, taken evenly; >= 1.
        batch: How many pictures the export takes at a time, >= 1, for runtimes and chips that want to know; not for
            "keras" and "saved_model". None for any number.
        float_groups: Names of layer groups that stay in float in an "int8" of "litert";
            `kertl.exporting.sensitivity` says which lose most.

    Returns:
        Where it is, its size, the largest difference, the share of decisions that are the model's; and with labels the
        accuracy (for a regression the mean absolute error) and its change, with 95 % intervals.

    Raises:
        ExportError: If the format needs something that is not installed; or the export cannot be written or loaded, or
            disagrees: in float32 by more than 0.001 (in probability, or in standard deviations of a target), quantised
            in more than 20 % of the decisions (float16: 2 %); trained for 8 bits, if fewer than 99.9 % of the outputs
            are within one step of 8 bits of what was trained, or one is more than two steps away.
        RunError: If the run has not finished.
        WeightsError: If the model cannot be loaded, or a weight is NaN or infinite.
        DataError: If an image cannot be read, or has changed since the run.
        TypeError: If the model is subclassed or not built.
        ValueError: If an argument is not as described above, or the model takes pictures of any size.

    Example:
        >>> import keras, kertl, tempfile
        >>> from pathlib import Path
        >>> layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
        >>> model = kertl.model.describe(keras.Sequential(layers), class_names=["cat", "dog"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = kertl.export(model, Path(folder) / "model.keras")
        >>> found.format, found.where, found.difference
        ('keras', 'noise', 0.0)
    """
    path = _checks.path("path", path)
    chosen = format_named(format, quantize)
    if float_groups:
        chosen = chosen.with_float_groups(float_groups, quantize)
    check_place(path, chosen)
    check_card(path.parent)
    if batch is not None:
        integer("batch", batch, at_least=1)
        if not chosen.fixed_batch:
            raise complain("batch", f"None for {format!r}, which takes any number of pictures", batch)
    start = time.monotonic()
    subject = subject_of(model_or_run, data, images)
    if float_groups:
        refuse_other_groups(subject.model, float_groups)
    subject.contract["input"]["shape"][0] = batch
    found = written(subject, chosen, path, quantize)
    write_card(path.parent, subject, [found], time.monotonic() - start)
    return found

"""Preprocessing as part of a backbone: pictures of 0..255 become what the backbone expects."""

from typing import Any

import keras

from kertl._checks import one_of

# What a backbone may need -> its description in tables. "tf", "torch" and "caffe" are Keras' own names.
KINDS = {
    "none": "0..255",
    "unit": "0..1",
    "tf": "-1..1",
    "torch": "0..1, then ImageNet mean and standard deviation",
    "caffe": "BGR minus ImageNet mean",
}
TAKEN_BY = "`kertl.load_backbone(..., preprocessing=)` takes it, and so does `--preprocessing` on the command line."


def check_preprocessing(kind: Any) -> None:
    """Raise unless `kind` is a key of `KINDS`, a layer, or None for what is known."""
    if kind is not None and not isinstance(kind, keras.layers.Layer):
        one_of("preprocessing", kind, KINDS)


def preprocess(images: Any, kind: str | keras.layers.Layer) -> Any:
    """The symbolic `images`, 0..255, preprocessed for a backbone of the given kind.

    Args:
        images: Keras tensor of shape `(batch, height, width, 3)`.
        kind: A key of `KINDS`, or a layer that does it.
    """
    check_preprocessing(kind)
    if isinstance(kind, keras.layers.Layer):
        return kind(images)
    if kind == "none":
        return images
    if kind == "unit":
        return keras.layers.Rescaling(1 / 255, name="preprocessing")(images)
    processed = keras.applications.imagenet_utils.preprocess_input(images, mode=kind)
    # A backbone from a file may bring operations of the same names; in one graph names must differ.
    for operation in keras.Model(images, processed).operations[1:]:
        operation.name = f"preprocessing_{operation.name}"
    return processed

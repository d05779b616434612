"""`load_backbone`: a pretrained model without its top, with its preprocessing inside."""

from pathlib import Path
from typing import Any

import keras

from kertl._checks import complain, nearest, path
from kertl.backbones._applications import APPLICATIONS
from kertl.backbones._channels import to_three_channels
from kertl.backbones._cv import CV, from_cv_object, from_cv_preset, is_from_cv
from kertl.backbones._files import MODEL_SUFFIXES, load_model_file
from kertl.backbones._found import Found, InputShape, check_input_shape
from kertl.backbones._from_application import from_application
from kertl.backbones._from_trained import from_trained
from kertl.backbones._hub import HUB, from_hub_object, from_hub_preset, is_from_hub
from kertl.backbones._preprocessing import check_preprocessing, preprocess
from kertl.backbones._truncate import truncate
from kertl.backbones._trust import refuse_nan
from kertl.groups import functional_of


def load_backbone(
    source: str | Path | keras.Model,
    *,
    weights: str | Path | None = "imagenet",
    input_shape: InputShape | None = None,
    preprocessing: str | keras.layers.Layer | None = None,
    truncate_at: str | None = None,
) -> keras.Model:
    """A pretrained model without its top: pictures of 0..255 in, feature maps out.

    Preprocessing is done inside. All layers are trainable; `kertl.freeze`, `kertl.stage_model` and `kertl.fine_tune`
    choose what trains.

    Args:
        source: One of these; layers of a model in memory are shared, not copied, except where KerasHub or KerasCV has
            to build another size, and in DINO, whose mask token is left out. The name of an image model of
            `keras.applications` (`kertl backbones` lists them). "hub:" or "cv:" with a preset of KerasHub or KerasCV:
            its name (`kertl backbones hub:` lists them), its handle, or its folder. A backbone, or an image classifier
            of KerasHub, in memory. Models built from them need that package to load. The path of a trained model
            (`.keras`, `.h5`), or such a model. Its classifier (pooling, dropout and dense layers at the end, or a
            convolution whose channels are the outputs) is cut off; stored `trainable` flags are reset.
        weights: For a name or a preset: "imagenet" (for a preset, its own weights), None (random), or a file with the
            architecture's weights without top or with a whole model that contains it. A model brings its own.
        input_shape: `(height, width, channels)` of the pictures; by default the size that the backbone was made for and
            three channels. A trained model takes another size if its height and width are multiples of 32. Another
            number of channels adds a layer group at the beginning, "to_three_channels": a 1x1 convolution that at first
            repeats a single channel, uses the mean of two as the third, or ignores all but the first three of more; it
            trains with the boundary "full".
        preprocessing: What is done to pixels of 0..255 before the model: "none" (0..255), "unit" (0..1), "tf" (-1..1),
            "torch" (0..1, then ImageNet mean and standard deviation), "caffe" (BGR minus ImageNet mean), a layer, or an
            `ImageConverter` of KerasHub. None takes what is known: of an Application its own, of KerasHub the image
            converter, of a trained model what the arithmetic at the start of its graph expects, else the preprocessing
            of the Application that it is. What is assumed of a trained model is logged.
        truncate_at: Name of the layer group (of `kertl.layer_groups`) to be the last; None keeps all. A transformer
            keeps its last norm.

    Returns:
        A functional model: input, preprocessing, and the backbone nested whole.

    Raises:
        ValueError: If the name is unknown (the nearest are named), the size is below the backbone's minimum, there
            is no such group, no classifier can be cut off or nothing with weights comes before it, or `preprocessing`
            is not given and nothing tells it.
        WeightsError: If weights are not available or do not fit; the message says which file to fetch and how to pass
            it.
        ImportError: If KerasHub or KerasCV is needed and missing.

    Example:
        >>> import kertl
        >>> backbone = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(96, 96, 3))
        >>> backbone.output_shape
        (None, 3, 3, 1280)
    """
    input_shape = check_input_shape(input_shape)
    check_preprocessing(preprocessing)
    if weights is not None:
        path("weights", weights, "'imagenet', None, or the path of a file")
    found = _find(source, weights, input_shape, preprocessing)
    refuse_nan(found.model)
    if truncate_at is not None:
        found = truncate(found, truncate_at)
    return _wrap(found, found.shape[2] if input_shape is None else input_shape[2])


def _find(source: Any, *arguments: Any) -> Found:
    """The source without its top; the arguments are the weights, the input shape and the preprocessing."""
    if is_from_hub(source):
        return from_hub_object(source, *arguments)
    if is_from_cv(source):
        return from_cv_object(source, *arguments)
    if isinstance(source, keras.Model):
        functional_of(source, "source")
        return from_trained(source, *arguments)
    name = str(source)
    if name in APPLICATIONS:
        return from_application(APPLICATIONS[name], *arguments)
    if name.startswith(HUB):
        return from_hub_preset(name.removeprefix(HUB), *arguments)
    if name.startswith(CV):
        return from_cv_preset(name.removeprefix(CV), *arguments)
    if name.endswith(MODEL_SUFFIXES):
        return _find(load_model_file(Path(source)), *arguments)
    raise complain(
        "source",
        "the name of an image model of keras.applications, 'hub:' with a KerasHub preset, 'cv:' with a KerasCV preset, "
        "a .keras or .h5 file, or a Keras model",
        source,
        f"{nearest(source, APPLICATIONS)} `kertl backbones` lists the names.".strip(),
    )


def _wrap(found: Found, channels: int) -> keras.Model:
    """Input, preprocessing, and the model nested whole; `build` knows by `backbone_name` that this has been done."""
    height, width, own = found.shape
    inputs = keras.Input((height, width, channels), name="images")
    images = preprocess(inputs if channels == own else to_three_channels(inputs), found.preprocessing)
    # Some models of KerasHub take a dictionary of one.
    features = found.model(dict.fromkeys(found.model.input, images) if isinstance(found.model.input, dict) else images)
    (features,) = keras.tree.flatten(features)  # or give one
    backbone = keras.Model(inputs, features, name=f"{found.name}_backbone")
    backbone.backbone_name = found.name
    return backbone

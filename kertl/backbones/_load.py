"""`load_backbone`: a pretrained model without its top, with its preprocessing inside."""

import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from kertl._checks import complain, nearest
from kertl.backbones._applications import APPLICATIONS, Application, recognise
from kertl.backbones._files import MODEL_SUFFIXES, load_model_file, load_weights_file
from kertl.backbones._preprocessing import begins_with_preprocessing, preprocess
from kertl.errors import WeightsError
from kertl.groups import features_of

# A download that stands still for this long is given up.
_NETWORK_SECONDS = 10.0

InputShape = tuple[int, int, int]


def load_backbone(
    source: str | Path | keras.Model,
    *,
    weights: str | Path | None = "imagenet",
    input_shape: InputShape | None = None,
    preprocessing: str | keras.layers.Layer | None = None,
) -> keras.Model:
    """A pretrained model without its top: pictures of 0..255 in, feature maps out.

    What the backbone wants of its pixels is done inside. All of it is trainable; `kertl.freeze`, `kertl.stage_model`
    and `kertl.fine_tune` choose what trains.

    Args:
        source: The name of an image model of `keras.applications` (`kertl backbones` lists them), the path of a
            trained model (`.keras`, `.h5`), or such a model. Its classifier (pooling, dropout and dense layers at the
            end) is cut off; its layers are shared, not copied; stored `trainable` flags are reset.
        weights: For a name: "imagenet", None (random), or a file, which holds the architecture's weights without top
            or a whole model that contains it. A trained model brings its own.
        input_shape: `(height, width, 3)` of the pictures; by default the size that the backbone was made for. A
            trained model takes another size where its height and width are multiples of 32.
        preprocessing: For a trained model only, and only where its graph does not begin with its preprocessing and it
            is not one of the Applications: what it wants of its pixels. "none" (0..255), "unit" (0..1), "tf"
            (-1..1), "torch" (0..1, then ImageNet mean and standard deviation), "caffe" (BGR minus ImageNet mean),
            or a layer.

    Returns:
        A functional model: input, preprocessing, and the backbone nested whole.

    Raises:
        ValueError: If the name is unknown (the nearest are named), the size is below the backbone's minimum, or
            `preprocessing` is missing or superfluous.
        WeightsError: If weights cannot be had or do not fit; the message says which file to fetch and how to pass it.

    Example:
        >>> import kertl
        >>> backbone = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(96, 96, 3))
        >>> backbone.output_shape
        (None, 3, 3, 1280)
    """
    if isinstance(source, keras.Model):
        model, application = source, None
    elif str(source) in APPLICATIONS:
        model, application = None, APPLICATIONS[str(source)]
    elif str(source).endswith(MODEL_SUFFIXES):
        model, application = load_model_file(Path(source)), None
    else:
        raise complain(
            "source",
            "the name of an image model of keras.applications, a .keras or .h5 file, or a Keras model",
            source,
            f"{nearest(source, APPLICATIONS)} `kertl backbones` lists the names.".strip(),
        )
    _check_input_shape(input_shape)
    if application is not None:
        if preprocessing is not None:
            raise complain("preprocessing", "left out for an Application, which brings its own", preprocessing)
        return _from_application(application, weights, input_shape)
    if weights != "imagenet":
        raise complain("weights", "left out where `source` is a trained model, which brings its own", weights)
    return _from_trained(model, input_shape, preprocessing)


def _from_application(application: Application, weights: str | Path | None, shape: InputShape | None) -> keras.Model:
    shape = shape or (application.size, application.size, 3)
    if min(shape[:2]) < application.minimum:
        raise complain(
            "input_shape",
            f"at least ({application.minimum}, {application.minimum}, 3) for {application.name}",
            shape,
        )
    constructor = getattr(keras.applications, application.name)
    options = {"include_top": False, "input_shape": shape}
    if weights == "imagenet":
        with _clear_download_errors(application):
            model = constructor(weights="imagenet", **options)
    else:
        model = constructor(weights=None, **options)
        if weights is not None:
            _load_weights(application, model, Path(weights))
    return _wrap(model, application.preprocessing, application.name)


def _load_weights(application: Application, model: keras.Model, path: Path) -> None:
    if application.imagenet_graph_differs and path.name.endswith(".h5"):
        raise WeightsError(
            f"{application.name} with ImageNet weights is another graph than without (it has one more Rescaling), so "
            f"that a bare weights file such as {str(path)!r} may give wrong outputs in silence. Pass a whole .keras "
            f"model, or put the published file into the folder {str(_keras_cache())!r} and use weights='imagenet'."
        )
    load_weights_file(model, path)


def _from_trained(
    model: keras.Model, shape: InputShape | None, preprocessing: str | keras.layers.Layer | None
) -> keras.Model:
    features = features_of(model, _new_shape(model, shape))
    application = recognise(features)
    if begins_with_preprocessing(features):
        if preprocessing is not None:
            raise complain("preprocessing", f"left out: {model.name!r} begins with its preprocessing", preprocessing)
        kind: str | keras.layers.Layer = "none"
    elif preprocessing is not None:
        kind = preprocessing
    elif application is not None:
        kind = application.preprocessing
    else:
        raise ValueError(
            f"`preprocessing` must be given for {model.name!r}: its graph does not begin with its preprocessing, and "
            "it is not one of the Applications. Received: preprocessing=None. Say what it wants of its pixels: "
            "'none' (0..255), 'unit' (0..1), 'tf' (-1..1), 'torch', 'caffe', or a layer."
        )
    features.trainable = False  # under TensorFlow, setting True on a model that is True passes over its layers
    features.trainable = True
    return _wrap(features, kind, application.name if application else model.name)


def _wrap(model: keras.Model, preprocessing: str | keras.layers.Layer, name: str) -> keras.Model:
    """Input, preprocessing, and `model` nested whole; `build` knows by `backbone_name` that this has been done."""
    inputs = keras.Input(model.input_shape[1:], name="images")
    backbone = keras.Model(inputs, model(preprocess(inputs, preprocessing)), name=f"{name}_backbone")
    backbone.backbone_name = name
    return backbone


def _check_input_shape(shape: Any) -> None:
    whole = isinstance(shape, (tuple, list)) and len(shape) == 3 and all(type(side) is int for side in shape)
    if shape is not None and not (whole and min(shape) >= 1 and shape[2] == 3):
        raise complain("input_shape", "(height, width, 3), in pixels", shape)


def _new_shape(model: keras.Model, shape: InputShape | None) -> InputShape:
    """The input shape that a trained model is to have."""
    own = tuple(model.input_shape[1:])
    if len(own) != 3 or own[2] != 3:
        raise ValueError(
            f"`source` must take pictures of shape (height, width, 3). Received: {model.name!r}, which takes {own}."
        )
    if shape is None:
        return (own[0] or 224, own[1] or 224, 3)
    if tuple(shape) != own and (shape[0] % 32 or shape[1] % 32):
        raise complain("input_shape", f"{own} or have sides that are multiples of 32, for {model.name!r}", shape)
    return (shape[0], shape[1], 3)


@contextmanager
def _clear_download_errors(application: Application) -> Iterator[None]:
    """Turn a failed or stalled download into an error that says which file to fetch and where to put it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_NETWORK_SECONDS)
    try:
        yield
    except Exception as error:  # Keras raises a bare Exception for most failed downloads
        if not isinstance(error, OSError) and "URL fetch failure on" not in str(error):
            raise
        raise WeightsError(
            f"The ImageNet weights of {application.name} cannot be downloaded ({error}). Fetch {_address(error)} where "
            f"there is a network and put it into the folder {str(_keras_cache())!r}"
            + ("." if application.imagenet_graph_differs else ", or pass the file's path as `weights=`.")
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _address(error: BaseException) -> str:
    """The address that a failed download came from, which Keras' `get_file` calls its origin."""
    frames = (frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__))
    return str(next((names["origin"] for names in frames if "origin" in names), "the weights without top"))


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"

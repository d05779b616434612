"""An image model of `keras.applications` with ImageNet weights, with weights from a file, or with random ones."""

import os
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from kertl._checks import complain
from kertl.backbones._applications import Application
from kertl.backbones._efficientnet import is_imagenet_graph, with_imagenet_graph
from kertl.backbones._files import check_weights_file, load_weights_file
from kertl.backbones._found import Found, InputShape
from kertl.errors import WeightsError

# A download that stalls for this long is abandoned.
_NETWORK_SECONDS = 10.0


def from_application(
    application: Application,
    weights: str | Path | None,
    shape: InputShape | None,
    preprocessing: str | keras.layers.Layer | None,
) -> Found:
    """An Application without its top, with the weights asked for."""
    shape = shape or (application.size, application.size, 3)
    if min(shape[:2]) < application.minimum:
        raise complain(
            "input_shape",
            f"at least ({application.minimum}, {application.minimum}, {shape[2]}) for {application.name}",
            shape,
        )
    constructor = getattr(keras.applications, application.name)
    options = {"include_top": False, "input_shape": (*shape[:2], 3)}
    if weights == "imagenet":
        with _clear_download_errors(application):
            model = constructor(weights="imagenet", **options)
    else:
        path = None if weights is None else Path(weights)
        if path is not None:
            check_weights_file(path)
        model = constructor(weights=None, **options)
        if path is not None:
            model = _with_weights(application, model, path)
    return Found(model, preprocessing or application.preprocessing, application.name, (*shape[:2], 3))


def _with_weights(application: Application, model: keras.Model, path: Path) -> keras.Model:
    if application.imagenet_graph_differs and path.is_file():
        for_imagenet = is_imagenet_graph(path)
        if for_imagenet is None:
            raise WeightsError(
                f"{application.name} built for ImageNet weights is another graph than without (it has one more "
                f"Rescaling), and {str(path)!r} does not tell to which of the two it belongs: in the wrong one it "
                "gives wrong outputs in silence. Pass a whole .keras model or what Keras 3 saves as .weights.h5, or "
                f"put the published file into the folder {str(_keras_cache())!r} and use weights='imagenet'.",
                code="weights-fit",
            )
        model = with_imagenet_graph(model) if for_imagenet else model
    load_weights_file(model, path)
    return model


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
            f"The ImageNet weights of {application.name} cannot be downloaded ({error}). Fetch {_address(error)} on "
            f"a machine with a network and put it into the folder {str(_keras_cache())!r}"
            + ("." if application.imagenet_graph_differs else ", or pass the file's path as `weights=`."),
            code="weights-download",
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _address(error: BaseException) -> str:
    """The address that a failed download came from, which Keras' `get_file` calls its origin."""
    frames = (frame.f_locals for frame, _ in traceback.walk_tb(error.__traceback__))
    return str(next((names["origin"] for names in frames if "origin" in names), "the weights without top"))


def _keras_cache() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"

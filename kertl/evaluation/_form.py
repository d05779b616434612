"""Which images a model takes: their size, their channels, and how they are resized."""

import logging
import sys
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kertl._checks import complain, integer, named
from kertl.data._streamed import FileBatches
from kertl.model import model_info, picture_shape

if TYPE_CHECKING:
    import keras

_logger = logging.getLogger(__name__)

# Models for which it was logged that nobody knows how their images were resized.
_told: "weakref.WeakSet[Any]" = weakref.WeakSet()


def is_keras(model: Any) -> bool:
    """Whether a model is one of Keras, which is not imported for it."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(model, keras.Model)


def check_asked(model: Any) -> None:
    """Raise if a Keras model cannot be asked; anything else only has to behave like one.

    Raises:
        TypeError: If it is subclassed or not built.
        ValueError: If it is a path, has several inputs or outputs, or takes channels first.
    """
    if not any(hasattr(model, name) for name in ("predict", "predict_on_batch", "output_shape")):
        raise complain("model", "a Keras model, such as `kertl.load(...)` gives of a file or run directory", model)
    if is_keras(model):
        from kertl.groups import functional_of

        functional_of(model)


def images_for(
    model: "keras.Model",
    paths: Iterable[str | Path],
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    batch_size: int = 32,
    strict: bool = True,
) -> FileBatches:
    """Image files, or all those in folders, at the size of a model and resized in its way, each read once.

    Args:
        model: The model they are for.
        paths: Files or folders; of a folder, files that cannot be read are left out and are listed in `issues`.
        image_size: `(height, width)` for a model that takes any size.
        channels: Channels for a model that takes any number; 3 by default.
        batch_size: Images per batch; >= 1.
        strict: Whether each file given by name must be readable; if not, it is left out too.
    """
    integer("batch_size", batch_size, at_least=1)
    form = form_of(model, image_size, channels)
    return FileBatches(paths, **form, batch_size=batch_size, strict=strict)


def resize_of(model: "keras.Model") -> str:
    """How images are resized for a model; "stretch" if that is not known, which is logged once."""
    info = model_info(model)
    if info is not None and info.resize is not None:
        return info.resize
    if model not in _told:
        _told.add(model)
        _logger.warning(
            "%s does not know how the images that it was trained on were resized; resize='stretch' is used. "
            "If that is wrong, make the images with `kertl.data.images(paths, image_size=..., resize=...)`.",
            named(model),
        )
    return "stretch"


def form_of(
    model: "keras.Model", image_size: tuple[int, int] | None = None, channels: int | None = None
) -> dict[str, Any]:
    """What images are made for a model: its size, or that one if it takes any, its channels, and how to resize."""
    own_size, own_channels = picture_shape(model)
    size = own_size or image_size
    if size is None:
        advice = "Pass `kertl.data.images(paths, image_size=...)` or arrays, which have a size."
        raise complain("model", "one that takes pictures of one size, to decode images for it", model.name, advice)
    return {"image_size": size, "resize": resize_of(model), "channels": own_channels or channels or 3}

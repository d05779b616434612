"""A backbone of KerasHub or KerasCV for pictures of another size."""

import tempfile
from pathlib import Path
from typing import Any

import keras

from kertl._checks import complain
from kertl._keras import layers_inside
from kertl.backbones._found import InputShape
from kertl.errors import ArgumentError

# The constructors' argument for the shape of the pictures.
_SHAPE_ARGUMENTS = ("image_shape", "input_shape")


def picture_shape(backbone: Any, name: str) -> tuple[int | None, ...]:
    """The shape `(height, width, 3)` that the backbone takes, None where it is open.

    Raises:
        ValueError: If it takes something else.
    """
    shapes = [tuple(tensor.shape[1:]) for tensor in backbone.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][2] != 3:
        raise ArgumentError(
            f"`source` must take pictures of shape (height, width, 3). Received: {name!r}, with {shapes}."
        )
    return shapes[0]


def at_size(backbone: Any, name: str, shape: InputShape) -> Any:
    """The backbone itself where it takes pictures of that shape, else one built for it that has its weights.

    Raises:
        ValueError: If its weights only fit its own size.
    """
    own = picture_shape(backbone, name)
    if all(side in (None, wanted) for side, wanted in zip(own, shape, strict=True)):
        return backbone
    config = backbone.get_config()
    argument = next((argument for argument in _SHAPE_ARGUMENTS if argument in config), None)
    if argument is None:
        raise complain("input_shape", f"{own}, for which {name!r} was made", shape)
    try:
        other = type(backbone).from_config({**config, argument: shape})
        _move_weights(backbone, other)
    except ValueError as error:
        raise complain("input_shape", f"{own}, for which {name!r} was made", shape, f"({error})") from error
    return other


def for_classification(backbone: Any, shape: InputShape) -> Any:
    """The backbone itself, or one rebuilt without what only other tasks use.

    Of several feature maps (HGNetV2) only the last is kept. Of a DINO are left out the mask token, which gets no
    gradient from a classifier, and the position embeddings at the size of its own training: a DINOV2Backbone keeps
    them, uses others interpolated from them, and interpolates again when it is loaded, so changes from fine-tuning
    would be lost in a file.
    """
    config = backbone.get_config()
    changes: dict[str, Any] = {}
    if len(backbone.outputs) > 1 and config.get("out_features"):
        changes["out_features"] = config["out_features"][-1:]
    if config.get("use_mask_token"):
        changes["use_mask_token"] = False
    if tuple(config.get("position_embedding_shape", shape)[:2]) != tuple(shape[:2]):
        changes["position_embedding_shape"] = shape
    if not changes:
        return backbone
    other = type(backbone).from_config({**config, **changes})
    embeddings: Any = getattr(backbone, "embeddings", None)
    left_out = embeddings.mask_token if "use_mask_token" in changes else None
    stored = getattr(embeddings, "position_embeddings", None)
    used = getattr(embeddings, "interpolated_position_embeddings", None)
    kept = [used if weight is stored else weight for weight in backbone.weights if weight is not left_out]
    other.set_weights([keras.ops.convert_to_numpy(weight) for weight in kept])
    return other


def store_positions(model: keras.Model) -> None:
    """Copy the position embeddings that a DINOv2 uses to those that it stores, before it is saved.

    KerasHub's layer only does so itself if the signed differences sum to more than zero, and thus loses about half of
    what was trained.
    """
    for layer in layers_inside(model):
        stored = getattr(layer, "position_embeddings", None)
        used = getattr(layer, "interpolated_position_embeddings", None)
        if used is not None and stored is not None and stored.shape == used.shape:
            stored.assign(used)


def _move_weights(backbone: Any, other: Any) -> None:
    """Through a file, since a class may fit its weights to another size when it reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.weights.h5"
        backbone.save_weights(path)
        other.load_weights(path)

"""What a model knows beyond its layers: its task, its classes, the pictures it takes, and its origin."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kertl._checks import complain
from kertl.data import RESIZE
from kertl.errors import ArgumentError
from kertl.tasks import TASKS

if TYPE_CHECKING:
    import keras

    from kertl.data import ImageData, ImageDataset

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class TrainedInt8:
    """What a stage with `quantize="int8"` leaves in a model."""

    ranges: tuple[tuple[float, float], ...]
    """The low and the high end of each activation."""
    weights: str
    """SHA-256 of the weights that they go with."""


@dataclass(frozen=True)
class ModelInfo:
    """Stored in the member `kertl.json` of a `.keras` file, which Keras ignores.

    Attributes:
        task: "single_label", "binary", "multi_label" or "regression".
        class_names: One name per output, for "binary" the two classes; empty where outputs have no names.
        backbone: Name of the backbone.
        kertl: Version of kertl that built the model.
        thresholds: For "binary" and "multi_label", the probability from which on each output counts as positive; empty
            before `kertl.tune_thresholds`, which means 0.5.
        image_size: `(height, width)` of the pictures that the model takes; None if the size is open, or if it takes
            features instead of pictures.
        channels: Channels of these pictures; None if the model takes no pictures.
        resize: How images are resized to that size, "stretch", "pad" or "crop", see `kertl.data.read_image`; None if
            not known.
        int8: The ranges of activations if it was trained for 8 bits, else None.
        trained_on: SHA-256 of the images that it is known to have been trained on; kept in memory and read from a run
            directory, but not stored in the file.
    """

    task: str
    class_names: tuple[str, ...]
    backbone: str
    kertl: str
    thresholds: tuple[float, ...] = ()
    image_size: tuple[int, int] | None = None
    channels: int | None = None
    resize: str | None = None
    int8: TrainedInt8 | None = None
    trained_on: frozenset[str] = dataclasses.field(default=frozenset(), repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """As JSON values; thresholds and ranges only if there are any."""
        left_out = {"trained_on", *(name for name in ("thresholds", "int8") if not getattr(self, name))}
        return {name: value for name, value in dataclasses.asdict(self).items() if name not in left_out}

    @classmethod
    def from_json(cls, values: Any) -> "ModelInfo":
        """From JSON values; what other versions may have added is ignored.

        Raises:
            ValueError: If they are not what `to_json` gives.
        """
        wanted = {"task": str, "class_names": list, "backbone": str, "kertl": str}
        if not isinstance(values, dict) or not all(isinstance(values.get(k), kind) for k, kind in wanted.items()):
            raise complain("kertl.json", f"an object with {', '.join(wanted)}", values)
        names = values["class_names"]
        if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise complain("kertl.json", "an object whose class_names are different texts", names)
        if values["task"] not in TASKS:
            raise complain("kertl.json", f"an object whose task is one of {', '.join(TASKS)}", values)
        thresholds = values.get("thresholds", [])
        if not isinstance(thresholds, list) or not all(map(_is_probability, thresholds)):
            raise complain("kertl.json", "an object whose thresholds are numbers from 0 to 1", values)
        size, channels, resize = (values.get(name) for name in ("image_size", "channels", "resize"))
        sized = size is None or (isinstance(size, list) and len(size) == 2 and all(map(_is_count, size)))
        if not sized or not (channels is None or _is_count(channels)) or resize not in (None, *RESIZE):
            raise complain("kertl.json", "an object with an image_size, channels and resize that pictures have", values)
        return cls(
            values["task"],
            tuple(values["class_names"]),
            values["backbone"],
            values["kertl"],
            tuple(map(float, thresholds)),
            None if size is None else (size[0], size[1]),
            channels,
            resize,
            _trained_int8(values.get("int8")),
        )


def model_info(model: "keras.Model") -> ModelInfo | None:
    """What `kertl.build` or `kertl.load` noted about `model`; None for a model from elsewhere."""
    info = getattr(model, "_kertl_info", None)
    return info if isinstance(info, ModelInfo) else None


def set_model_info(model: "keras.Model", info: ModelInfo, *, takes_pictures: bool = True) -> "keras.Model":
    """Note what is known about `model`, in memory; returns the same model.

    Args:
        model: Any model.
        info: Its image size and channels are replaced by the model's.
        takes_pictures: False for a model that takes features; then nothing is noted about pictures.
    """
    size, channels = picture_shape(model) if takes_pictures else (None, None)
    resize = info.resize if takes_pictures else None
    model._kertl_info = dataclasses.replace(info, image_size=size, channels=channels, resize=resize)
    return model


def keep_info(model: "keras.Model", derived: "keras.Model", *, takes_pictures: bool = True) -> "keras.Model":
    """Note about a model derived from `model` what is known about `model`; returns the derived model."""
    info = model_info(model)
    return derived if info is None else set_model_info(derived, info, takes_pictures=takes_pictures)


def picture_shape(model: "keras.Model") -> tuple[tuple[int, int] | None, int | None]:
    """`(height, width)` and channels of the pictures that a model takes; None where open or not pictures."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        return None, None
    _, height, width, channels = shape
    return (None if height is None or width is None else (height, width)), channels


def refuse_other_pictures(name: str, shape: Sequence[int | None], data: "ImageData | ImageDataset") -> None:
    """Raise if a model cannot be trained on the images of a data set as they are.

    Args:
        name: Name of the model.
        shape: `(height, width, channels)` of the pictures that it takes, None where open; other shapes are not checked.
        data: The images.

    Raises:
        ValueError: If they have another size or other channels.
    """
    if len(shape) != 3:
        return
    size, channels = tuple(shape[:2]), shape[2]
    if None not in size and size != tuple(data.image_size):
        raise ArgumentError(
            f"`data` must have images of the model's size, {size}. Received: image_size={tuple(data.image_size)}. "
            f"Make it with `image_size={size}`.",
            code="image-shape",
        )
    if channels not in (None, data.channels):
        raise ArgumentError(
            f"`data` must have images of {channels} channels, as {name!r} takes them. Received: "
            f"channels={data.channels}. Make it with `channels={channels}`, or build the model with "
            f"`input_shape=({', '.join(map(str, (*data.image_size, data.channels)))})`.",
            code="image-shape",
        )


def _trained_int8(values: Any) -> TrainedInt8 | None:
    if values is None:
        return None
    ranges, weights = (values.get("ranges"), values.get("weights")) if isinstance(values, dict) else (None, None)
    if not isinstance(ranges, list) or not all(map(_is_range, ranges)) or not isinstance(weights, str):
        raise complain("kertl.json", "an object whose int8 has ranges and the checksum of weights", values)
    return TrainedInt8(tuple((float(low), float(high)) for low, high in ranges), weights)


def _is_range(value: Any) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    return numbers and -math.inf < value[0] <= value[1] < math.inf


def _is_probability(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0

"""Whether to cache features or to compute them in every epoch: an estimate before the work starts, and a rule.

The rule weighs only bytes, epochs and versions. Times are measured for display only, since two runs must choose alike.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import integer, one_of
from kertl._terminal import counted, span
from kertl.errors import ArgumentError
from kertl.features._layout import DTYPES, Layout
from kertl.features._room import DISK_SHARE, MEMORY_SHARE, free_disk, free_memory, readable

CHOICES = ("memory", "disk", "live")
_MEASURED = 32
"""Images of the batch that is timed."""
TRAINING = 3.0
"""What a step of training costs in forward passes: one forward, and about two for the gradients."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What caching takes and what it saves."""

    images: int
    """Images to train on."""
    epochs: int
    """Epochs to train for."""
    views: int
    """Augmented versions cached of each image; 0 for the unchanged image alone."""
    bytes_per_image: int
    """Bytes that cross the boundary for one image, as cached."""
    bytes_needed: int
    """`bytes_per_image` times the images and their versions."""
    memory_free: int
    """Bytes of free memory."""
    disk_free: int | None
    """Bytes that can be written to the folder; None where there is none."""
    choice: str
    """`"memory"`, `"disk"` or `"live"`."""
    reason: str
    """Why."""
    images_per_second: float | None = None
    """Forward passes of the prefix, from a short measurement; None if training needs new images in each epoch."""
    seconds_cached: float = 0.0
    """Extraction and training on features, by that measurement."""
    seconds_live: float = 0.0
    """Training on images, by that measurement."""

    @property
    def fits_on_disk(self) -> bool:
        """Whether files with the features fit on the disk, if there is a folder for them."""
        return self.disk_free is not None and self.bytes_needed <= self.disk_free * DISK_SHARE

    def lines(self) -> list[str]:
        """The estimate as text."""
        chosen = f"{_CHOSEN[self.choice]}: {self.reason}"
        if self.images_per_second is None:
            return [chosen]
        versions = f" in {self.views} versions" if self.views else ""
        disk = "" if self.disk_free is None else f", {readable(self.disk_free)} of disk free"
        kept = f"{readable(self.bytes_per_image)} each at the boundary: {readable(self.bytes_needed)}"
        free = f"{readable(self.memory_free)} of memory free{disk}"
        speed = f"the frozen part runs at {self.images_per_second:,.0f} images/s"
        cached, live = span(self.seconds_cached), span(self.seconds_live)
        return [
            f"{self.images} images{versions}, {kept} ({free})",
            f"{speed}; {counted(self.epochs, 'epoch')}: about {cached} on cached features, {live} on images",
            chosen,
        ]


_CHOSEN = {
    "memory": "Features are cached in memory",
    "disk": "Features are cached on disk",
    "live": "Features are not cached",
}


def plan(
    prefix: keras.Model,
    suffix: keras.Model,
    images: int,
    image_shape: Sequence[int],
    *,
    epochs: int,
    views: int = 0,
    augmented: bool = False,
    cache: str | bool = "auto",
    cache_bytes: int | None = None,
    cache_dir: str | Path | None = None,
    dtype: str = "float32",
) -> Plan:
    """What caching features takes and saves, and whether to do it.

    `cache="auto"` caches them if augmented versions are used more than once each (more epochs than versions), training
    does not need new images in each epoch (augmentation without versions), and they fit into memory, or else into
    `cache_dir`. However many trainings share them, the choice is the same, so that each trains as it would alone.

    Args:
        prefix: The frozen part.
        suffix: What trains after it.
        images: How many images there are to train on; >= 1.
        image_shape: Shape of one of them.
        epochs: How often each is trained on; >= 1.
        views: Augmented versions to cache of each; 0 for the unchanged image alone.
        augmented: Whether training varies the images.
        cache: True to cache features or raise, False not to cache, "auto" to follow the rule.
        cache_bytes: The most bytes that they may take; None limits them only by what is free.
        cache_dir: A folder for those that do not fit into memory.
        dtype: The type in which they are cached.

    Raises:
        ValueError: If `cache=True` and the features do not fit or would not be what training needs; the message gives
            the numbers.
    """
    shapes = prefix.compute_output_shape((1, *image_shape))
    shapes = shapes if isinstance(shapes, list) else [shapes]
    shapes = [tuple(shape[1:]) for shape in shapes]
    sums: dict[str, Any] = {"cache_bytes": cache_bytes, "cache_dir": cache_dir, "dtype": dtype}
    found = plan_of(shapes, images, epochs=epochs, views=views, augmented=augmented, cache=cache, **sums)
    if augmented and not views:  # nothing to measure
        return found
    front, after = _seconds(prefix, suffix, (_MEASURED, *image_shape), shapes)
    return dataclasses.replace(
        found,
        images_per_second=1 / front,
        seconds_cached=images * (max(1, views) * front + epochs * TRAINING * after),
        seconds_live=images * epochs * (front + TRAINING * after),
    )


def plan_of(
    shapes: Sequence[tuple[int, ...]],
    images: int,
    *,
    epochs: int,
    views: int = 0,
    augmented: bool = False,
    cache: str | bool = "auto",
    cache_bytes: int | None = None,
    cache_dir: str | Path | None = None,
    dtype: str = "float32",
) -> Plan:
    """The same without a measurement, from the shapes of what crosses the boundary for one image.

    Raises:
        ValueError: As `plan`.
    """
    one_of("cache", cache, ("auto", True, False))
    one_of("dtype", dtype, DTYPES)
    integer("epochs", epochs, at_least=1)
    layout = Layout(tuple(shapes), dtype)
    needed = layout.row_bytes * images * max(1, views)
    memory, disk = free_memory(), None if cache_dir is None else free_disk(cache_dir)
    choice, reason = _decide(cache, needed, epochs, views, augmented, cache_bytes, memory, disk)
    return Plan(
        images=images,
        epochs=epochs,
        views=views,
        bytes_per_image=layout.row_bytes,
        bytes_needed=needed,
        memory_free=memory,
        disk_free=disk,
        choice=choice,
        reason=reason,
    )


def _decide(
    cache: str | bool,
    needed: int,
    epochs: int,
    views: int,
    augmented: bool,
    cache_bytes: int | None,
    memory: int,
    disk: int | None,
) -> tuple[str, str]:
    """The choice and its reason, without regard to times."""
    if cache is False:
        return "live", "as asked by cache=False"
    place, why = _place(needed, cache_bytes, memory, disk)
    if cache is True:
        if augmented and not views:
            raise ArgumentError(
                "`views` must be >= 1 to cache features of augmented images. Received: views=0 with cache=True. "
                "Pass views=4, or augment='none', or cache=False."
            )
        if place == "live":
            raise ArgumentError(
                f"`cache` must be 'auto' or False if features do not fit. Received: cache=True, but {why}. Name "
                "a `cache_dir` on another disk, allow more `cache_bytes`, or choose a boundary with fewer numbers."
            )
        return place, f"as asked by cache=True; {why}"
    if augmented and not views:
        return "live", "training varies the images anew in each epoch; `views` caches some versions of each"
    if augmented and epochs <= views:
        return "live", f"{epochs} epochs would use each of {views} versions once at most"
    return place, why


def _place(needed: int, cache_bytes: int | None, memory: int, disk: int | None) -> tuple[str, str]:
    if cache_bytes is not None and needed > cache_bytes:
        return "live", f"they take {readable(needed)}, and cache_bytes allows {readable(cache_bytes)}"
    if needed <= memory * MEMORY_SHARE:
        return "memory", f"they take {readable(needed)}, at most half of the free memory"
    if disk is None:
        return "live", f"they take {readable(needed)}, more than half of the free memory, and there is no folder"
    if needed <= disk * DISK_SHARE:
        return "disk", f"they take {readable(needed)}, more than half of the free memory, and the disk has room"
    return "live", f"they take {readable(needed)}, and neither memory nor disk has room"


def forward_seconds(prefix: keras.Model, image_shape: Sequence[int]) -> float:
    """Seconds per image of a forward pass on this machine, measured in about a second or in two passes of one image.

    Args:
        prefix: The frozen part.
        image_shape: Shape of one image.
    """
    alone = _timed(prefix, keras.ops.zeros((1, *image_shape), prefix.inputs[0].dtype))
    if alone * _MEASURED > 0.5:
        return alone
    return _timed(prefix, keras.ops.zeros((_MEASURED, *image_shape), prefix.inputs[0].dtype)) / _MEASURED


def _seconds(
    prefix: keras.Model, suffix: keras.Model, shape: tuple[int, ...], shapes: Sequence[tuple[int, ...]]
) -> tuple[float, float]:
    """Seconds per image of a forward pass of either part, called without compilation, which would take longer."""
    images = keras.ops.zeros(shape, prefix.inputs[0].dtype)
    features = [keras.ops.zeros((shape[0], *inner), "float32") for inner in shapes]
    one = features[0] if len(features) == 1 else features
    return _timed(prefix, images) / shape[0], _timed(suffix, one) / shape[0]


def _timed(model: Any, inputs: Any) -> float:
    """The time of a call after a first one."""
    spent = 0.0
    for _ in range(2):
        start = time.perf_counter()
        outputs = model(inputs, training=False)
        np.asarray(keras.ops.convert_to_numpy(keras.tree.flatten(outputs)[0]))
        spent = time.perf_counter() - start
    return spent

"""`extract`: the features that the frozen part of a model computes from images, computed once."""

import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from kertl._checks import check_cache_dir, complain, integer, one_of
from kertl._memory import out_of_memory
from kertl._transformations import checked_augment
from kertl.backbones import refuse_nan
from kertl.errors import DataError
from kertl.features._choice import Choice
from kertl.features._features import Features, View
from kertl.features._job import Augmentation, Job, batch_size
from kertl.features._layout import DTYPES
from kertl.features._room import check_room
from kertl.features._sources import Source, source_of
from kertl.groups import Chain, find_chain
from kertl.recipe import PRECISIONS

_logger = logging.getLogger(__name__)

_ENGINES = ("auto", "keras", "openvino")


def extract(
    model: keras.Model,
    data: Any,
    *,
    at: str | int = "deep",
    augment: str | Sequence[Any] = "none",
    views: int = 0,
    seed: int = 0,
    engine: str = "auto",
    dtype: str = "float32",
    precision: str = "float32",
    cache_dir: str | Path | None = None,
    cache_bytes: int | None = None,
    verbose: str | bool = "auto",
) -> Features:
    """Run the frozen part of a model once over images, to train on the result as often as needed.

    Features are cached in memory or, if `cache_dir` is given, in files there: what they already hold is not computed
    again, for any data with the same images. The key covers the model's weights, the content of each image and
    everything else that features depend on, so features of something else are never mistaken for them.

    Args:
        model: A backbone, a built model or any functional model.
        data: A dataset of `kertl.data`, an array of images or (images, labels), a finite `keras.utils.PyDataset`, or a
            finite `tf.data.Dataset`; the last two are read twice and must give the same images each time.
        at: The boundary, as in `kertl.split`.
        augment: How the versions of each image are varied, as a stage's `augment`.
        views: How many augmented versions of each image are made; 0 for the unchanged image alone.
        seed: Seed of the augmentation; >= 0. The same images in the same batches of 32 (256 on an accelerator) are
            varied in the same way.
        engine: "keras", "openvino", or "auto": OpenVINO on a CPU if it is installed and agrees with Keras on a batch of
            noise, with a difference of at most 1e-5 of the norm in float32 and 0.1 in bfloat16; else Keras.
        dtype: The type in which features are cached: "float32", "float16" or "bfloat16".
        precision: The precision they are computed in, as in `kertl.Recipe`.
        cache_dir: The folder of the files; created if it does not exist. None caches features in memory.
        cache_bytes: The most bytes that the features of `data` may take; None limits them only by what is free.
        verbose: Whether to show progress on stderr; "auto" shows it on a terminal and in a notebook.

    Returns:
        The features, in the data's own order.

    Raises:
        ValueError: If an argument is outside its range, `at` leaves nothing to extract, or the features do not fit.
        TypeError: If `data` is not of an accepted type.
        WeightsError: If a weight of the model is NaN or infinite.
        DataError: If the data cannot be used; the message says why.

    Example:
        >>> import keras, kertl, numpy as np
        >>> backbone = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> features = kertl.extract(backbone, np.zeros((5, 64, 64, 3), "uint8"), at="mid", engine="keras")
        >>> features.values.shape, features.take([3, 1]).shape
        ((5, 4, 4, 512), (2, 4, 4, 512))
    """
    augment = checked_augment(augment)
    _check(augment, views, seed, engine, dtype, precision)
    if cache_bytes is not None:
        integer("cache_bytes", cache_bytes, at_least=0)
    one_of("verbose", verbose, ("auto", True, False))
    folder = check_cache_dir(cache_dir)
    refuse_nan(model)
    chain = find_chain(model)
    first = chain.first_trained(at)
    if first == 0:
        raise complain(
            "at",
            "a boundary with something before it",
            at,
            "Nothing is frozen there, so there is nothing to extract; train on the images.",
        )
    source = source_of(data)
    _check_images(chain, source)
    augmentation = Augmentation(augment, views, seed) if views and augment != "none" else None

    def extracted(at_once: int) -> tuple[list[View], Choice]:
        job = Job(model, chain, first, source, augmentation, precision, at_once)
        layout = job.layout(dtype)
        check_room(layout.row_bytes * source.count * max(1, views), folder, cache_bytes)
        if folder is None:
            return job.in_memory(layout, engine, verbose)
        return job.on_disk(layout, engine, folder, verbose)

    return Features(*_that_fits(extracted), source.labels, at=at, views=views)


def _that_fits(extracted: Callable[[int], tuple[list[View], Choice]]) -> tuple[list[View], Choice]:
    """What is extracted with the usual batch, or, where memory runs out, with the first half of it that fits.

    Raises:
        BaseException: What was raised with one image at once.
    """
    at_once = batch_size()
    while True:
        try:
            return extracted(at_once)
        except Exception as error:
            if not out_of_memory(error) or at_once == 1:
                raise
        gc.collect()  # what the error's frames held
        at_once //= 2
        _logger.warning(
            "Memory ran out while features were extracted from %d images at once; it goes on with %d. The last digits "
            "of features may depend on it.",
            2 * at_once,
            at_once,
        )


def _check(augment: Any, views: int, seed: int, engine: str, dtype: str, precision: str) -> None:
    integer("views", views, at_least=0)
    if augment == "none" and views > 1:
        raise complain(
            "views", "0 or 1 where augment='none'", views, "Versions of an image differ by augmentation: pass 'light'."
        )
    integer("seed", seed, at_least=0)
    one_of("engine", engine, _ENGINES)
    one_of("dtype", dtype, DTYPES)
    one_of("precision", precision, PRECISIONS)


def _check_images(chain: Chain, source: Source) -> None:
    """Whether the images fit the model."""
    expected = chain.graph.shapes[chain.graph.input]
    fits = len(expected) == len(source.shape) and all(
        side in (None, given) for side, given in zip(expected, source.shape, strict=True)
    )
    if not fits:
        raise DataError(
            f"`data` must hold images of the shape that {chain.model_name!r} takes, {expected}. "
            f"Received: shape {tuple(source.shape)}. Make data of kertl with that `image_size=` and `channels=`.",
            code="image-shape",
        )

"""`check_augmentation`: which transformations of the images leave predictions unchanged, and which do not."""

import math
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, integer, named, number, one_of
from kertl._terminal import tracked
from kertl._transformations import COLOURS, TRANSFORMATIONS, transformations_of
from kertl.data._dataset import ImageDataset
from kertl.data._effects import AugmentationCheck, Effect
from kertl.data._image_data import ImageData
from kertl.data.augment import layers, varied
from kertl.errors import ArgumentError
from kertl.groups import functional_of
from kertl.tasks import task_named


def check_augmentation(
    model: keras.Model,
    data: ImageData | ImageDataset,
    transformations: str | Sequence[Any] | None = None,
    *,
    seed: int = 0,
    minutes: float | None = None,
    verbose: str | bool = "auto",
) -> AugmentationCheck:
    """Find which transformations of held-out images change a model's predictions and lower its accuracy.

    Every image is varied once by each transformation at each amount, as in training, and its prediction is compared
    with the one for the unchanged image. Where the accuracy falls by more than chance, the row is flagged. Such a
    transformation may change the class of the image (brightness where brightness is the class, a flip where left and
    right differ), and then it teaches the model wrong labels in training. A model that never saw a transformation may
    also fail on it although the class stays the same; look at `preview_augmentation` to judge for yourself.

    Args:
        model: A trained classifier of 0..255 pictures. Nothing in it changes.
        data: The data it was trained on, of which the validation set is used, or the test set if there is none; or one
            dataset of `kertl.data` with images that it was not trained on. One class per image.
        transformations: Names, each of which is tried at half, once and twice the usual amount (a flip in both
            directions), and pairs of name and amount, as in `kertl.data.augment.layers`; or a strength, such as
            "strong". All names by default, without those of colours where there are not three channels.
        seed: Seed of the random draws; >= 0.
        minutes: About how long it may take, > 0; if that is not enough for all images, those that were reached are
            judged, in random order, and the result says how many. None for as long as it takes.
        verbose: Whether to show progress on stderr; "auto" shows it on a terminal and in a notebook.

    Raises:
        ValueError: If an argument is outside its range, nothing is held out, the images do not have one class each, or
            the model has a different number of classes.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.5, test=0)
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> found = kertl.data.check_augmentation(model, data, ["flip", ("rotation", 0.02)])
        >>> [(row.transformation, row.amount) for row in found.rows]
        [('flip', 'horizontal'), ('flip', 'vertical'), ('rotation', 0.02)]

    Reference:
        McNemar, "Note on the sampling error of the difference between correlated proportions or percentages", 1947.
    """
    integer("seed", seed, at_least=0)
    one_of("verbose", verbose, ("auto", True, False))
    if minutes is not None:
        number("minutes", minutes, above=0)
    part, dataset = _held_out(data)
    _check(model, dataset)
    if minutes is not None:  # some images are to be like all of them
        drawn = np.random.default_rng(seed).permutation(dataset.num_examples)
        dataset = dataset.subset(drawn, shuffle=False)
    depth = dataset.channels
    checks = [(name, amount, layers([(name, amount)], depth)) for name, amount in _checks(transformations, depth)]
    deadline = math.inf if minutes is None else time.monotonic() + 60 * minutes
    found = []
    for place in tracked(range(len(dataset)), "Checking augmentation", len(dataset), "batch", verbose):
        began = time.monotonic()
        images = dataset.batch(0, place)[0]
        versions = [images, *(varied(made, images, (seed, place)) for _, _, made in checks)]
        found.append([_probabilities(model, version) for version in versions])
        if 2 * time.monotonic() - began > deadline:  # the next batch would end too late
            break
    plain, *others = (np.concatenate(batches) for batches in zip(*found, strict=True))
    labels = np.asarray(dataset.labels).astype(np.int64).ravel()[: len(plain)]
    rows = [
        _effect(name, amount, plain, other, labels) for (name, amount, _), other in zip(checks, others, strict=True)
    ]
    accuracy = float(np.mean(plain.argmax(axis=1) == labels))
    return AugmentationCheck(tuple(rows), accuracy, part, dataset.num_examples)


def _held_out(data: Any) -> tuple[str, ImageDataset]:
    if isinstance(data, ImageDataset):
        return "given", data.in_order()
    if not isinstance(data, ImageData):
        raise complain("data", "what `kertl.data.from_directory`, `from_csv` or `from_arrays` gives, or a part", data)
    for name, part in (("validation", data.validation), ("test", data.test)):
        if part is not None:
            return name, part
    raise ArgumentError(
        "`data` must have a validation or a test set: on its training images a model predicts too well. "
        "Received: neither. Make it with `validation=0.15`."
    )


def _check(model: keras.Model, dataset: ImageDataset) -> None:
    functional_of(model)
    if dataset.labels is None or not task_named(dataset.task).one_class:
        raise complain("data", "of images with one class each", dataset.task)
    if model.input_shape[-1] not in (None, dataset.channels):
        own = model.input_shape[-1]
        raise ArgumentError(
            f"`data` must have images of {own} channels, as {named(model)} takes them. Received: "
            f"channels={dataset.channels}. Make it with `channels={own}`."
        )
    outputs = task_named(dataset.task).outputs(len(dataset.class_names))
    if model.output_shape[-1] != outputs:
        advice = f"It has {model.output_shape[-1]}."
        raise complain("model", f"one with {outputs} outputs for {dataset.class_names}", model.name, advice)


def _checks(transformations: str | Sequence[Any] | None, channels: int) -> list[tuple[str, float | str]]:
    """Names and amounts; several amounts for each transformation that is given by name alone."""
    found: list[tuple[str, float | str]] = []
    if isinstance(transformations, str):
        transformations = transformations_of(transformations)
    all_names = [name for name in TRANSFORMATIONS if channels == 3 or name not in COLOURS]
    for one in all_names if transformations is None else transformations:
        ((name, amount),) = transformations_of([one])
        if not isinstance(one, str):
            found.append((name, amount))
        elif isinstance(amount, str):
            found += [(name, "horizontal"), (name, "vertical")]
        else:
            found += [(name, min(times * amount, TRANSFORMATIONS[name].most)) for times in (0.5, 1.0, 2.0)]
    if not found:
        raise complain("transformations", "a list of at least one", transformations)
    return found


def _probabilities(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Of every class, shape `(batch, classes)`."""
    found = np.asarray(model.predict_on_batch(np.asarray(images, np.float32)), np.float64)
    return np.hstack([1 - found, found]) if found.shape[1] == 1 else found


def _effect(name: str, amount: float | str, plain: np.ndarray, other: np.ndarray, labels: np.ndarray) -> Effect:
    before, after = (found.argmax(axis=1) for found in (plain, other))
    return Effect(
        transformation=name,
        amount=amount,
        change=float(np.abs(plain - other).sum(axis=1).mean() / 2),
        changed=float(np.mean(before != after)),
        images=len(labels),
        right=int(np.sum(after == labels)),
        lost=int(np.sum((before == labels) & (after != labels))),
        won=int(np.sum((before != labels) & (after == labels))),
    )

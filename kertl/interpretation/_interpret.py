"""`interpret`: where a model is right and wrong, and about what."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import check_cache_dir, complain, integer, one_of
from kertl.data import ImageData, ImageDataset, check_image_data
from kertl.errors import ArgumentError
from kertl.evaluation import answers, evaluate, predict
from kertl.evaluation._labels import matched
from kertl.evaluation._pictures import part_to_evaluate
from kertl.features import extract
from kertl.groups import find_chain, functional_of
from kertl.interpretation._calibration import Calibration, best_temperature, calibration_of
from kertl.interpretation._interpretation import (
    AlikeImages,
    Confusion,
    Difference,
    DoubtfulLabel,
    ImageLoss,
    Interpretation,
)
from kertl.interpretation._label_errors import doubtful, enough, out_of_fold
from kertl.interpretation._maps import NothingToShowError
from kertl.interpretation._neighbours import ALIKE, Neighbours, vectors_of
from kertl.interpretation._rollout import where_it_looks
from kertl.model import count_trained_on, model_info, split, task_of
from kertl.tasks import Task, task_named

_logger = logging.getLogger(__name__)

_NEAREST = 3
_MOST_NUMBERS = 2**28
"""Of all features together, 1 GiB; beyond it neighbours and doubtful labels are not looked for."""


def interpret(
    model: keras.Model,
    data: ImageData,
    *,
    part: str = "test",
    other: keras.Model | None = None,
    most: int = 12,
    most_searched: int = 5_000,
    predictions: Mapping[str, np.ndarray] | None = None,
    cache_dir: str | Path | None = None,
) -> Interpretation:
    """Where a model is right and wrong, and about what.

    Metrics with their intervals, calibration, the pairs of classes that are confused, the images with the greatest loss
    with the training images nearest to them and the places that speak for the prediction, labels that are probably
    wrong, and near-duplicates on both sides of the split. One pass over the images extracts the features for all of it.

    Args:
        model: A classifier or a regression, for the task of the data.
        data: The images; neighbours are looked for in its training set.
        part: "train", "validation" or "test".
        other: Another model for the same classes; images for which it predicts something else are listed.
        most: How many images, pairs and so on to list at most; >= 1.
        most_searched: Of more images than this, in all parts together, no features are extracted to look for neighbours
            and doubtful labels, which takes a pass over all of them; >= 0.
        predictions: The results of `kertl.predict` by the name of the part, for those that you have.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        DataError: If an image cannot be read, or the data are of another task or other classes than the model.
        ValueError: If the part is empty, or `most` is out of range.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 12, validation=0.25, test=0.25)
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> found = kertl.interpret(model, data, most=2)
        >>> len(found.top_losses), found.metrics["images"]
        (2, 6)
    """
    check_image_data(data)
    one_of("part", part, ("train", "validation", "test"))
    if other is not None:
        functional_of(other, "other")
    integer("most", most, at_least=1)
    integer("most_searched", most_searched, at_least=0)
    check_cache_dir(cache_dir)
    images, _ = part_to_evaluate(data, part)
    if predictions is not None and not isinstance(predictions, Mapping):
        raise complain("predictions", "a dictionary of predictions by the name of a part", predictions)
    said = dict(predictions or {})
    searched = _searched(model, data, most_searched)
    ask = (
        partial(_by_kept_features, model, cache_dir) if searched and cache_dir is not None else partial(predict, model)
    )
    if part not in said:
        said[part] = ask(images)
    labelled = matched(model, images)
    task, names, truth = task_named(task_of(model, data.task)), labelled.class_names, np.asarray(labelled.labels)
    losses = task.image_losses(truth, said[part])
    worst = np.argsort(-losses, kind="stable")[:most]
    words = _words(model, task, said[part])
    notes: list[str] = []
    alike: tuple[AlikeImages, ...] = ()
    nearest: list[tuple[str, ...]] = [()] * len(worst)
    wrong: tuple[DoubtfulLabel, ...] | None = None
    if searched:
        alike, nearest, wrong = _by_features(model, data, images, part, truth, worst, most, cache_dir, notes)
    else:
        notes.append(
            "Neighbours and doubtful labels were not looked for: the images are more than `most_searched` of "
            f"`kertl.interpret`, {most_searched:,}, or their features take more than 1 GiB."
        )
    top = tuple(
        ImageLoss(images.files[row], task.label_text(truth[row], names), words[row], float(losses[row]), near)
        for row, near in zip(worst, nearest, strict=True)
    )
    calibration = _calibration(model, task, data, part, said, ask, truth, notes)
    maps, shown = _maps(model, images, worst, notes)
    metrics = evaluate(model, images, predictions=said[part], intervals=True)
    return Interpretation(
        part,
        metrics,
        calibration,
        _confusions(metrics, most),
        top,
        wrong,
        alike,
        _differences(model, other, images, task, truth, names, words),
        tuple(notes),
        shown,
        maps,
    )


def _parts(data: ImageData) -> dict[str, ImageDataset]:
    return {name: one for name in ("train", "validation", "test") if (one := getattr(data, name)) is not None}


def _searched(model: keras.Model, data: ImageData, most_searched: int) -> bool:
    """Whether the features of all images are extracted."""
    chain = find_chain(model)
    numbers = sum(chain.graph.shapes[ref][-1] or 0 for ref in chain.crossing(len(chain.backbone_groups)))
    count = sum(one.num_examples for one in _parts(data).values())
    return count <= most_searched and count * numbers <= _MOST_NUMBERS


def _by_kept_features(model: keras.Model, cache_dir: str | Path, images: ImageDataset) -> np.ndarray:
    """The predictions for some images from their features, which a run has cached and the neighbours need anyway."""
    values = extract(model, images.in_order(), at="deep", cache_dir=cache_dir).values
    _, head = split(model, "deep")
    tensors = [np.asarray(one) for one in values] if isinstance(values, list) else np.asarray(values)
    return np.asarray(head.predict(tensors, verbose=0))


def _words(model: keras.Model, task: Task, said: np.ndarray) -> list[str]:
    """Each prediction in a few words."""
    found = []
    for answer in answers(model, said, top=1):
        if "classes" in answer:
            found.append(f"{answer['classes'][0]['class']} {answer['classes'][0]['probability']:.3f}")
        elif "label" in answer:
            probability = answer["probability"]
            own = probability if answer["label"] == answer["positive"] else 1 - probability
            found.append(f"{answer['label']} {own:.3f}")
        else:
            found.append(", ".join(f"{name} {text}".strip() for name, text in _pairs(task.words(answer))))
    return found


def _pairs(words: Mapping[str, str]) -> list[tuple[str, str]]:
    """The columns of an answer; the heading of labels says nothing."""
    return [("" if name == "labels" else name, text) for name, text in words.items()]


def _calibration(
    model: keras.Model,
    task: Task,
    data: ImageData,
    part: str,
    said: dict[str, np.ndarray],
    ask: Callable[[ImageDataset], np.ndarray],
    truth: np.ndarray,
    notes: list[str],
) -> Calibration | None:
    if task.activation == "linear":
        return None
    temperature = None
    seen = "validation" not in said and count_trained_on(model, data.validation)
    if seen:
        notes.append(f"There is no temperature, since the model was trained on {seen:,} of the validation images.")
    elif data.validation is not None and part != "validation":
        if "validation" not in said:
            said["validation"] = ask(data.validation)
        labels = np.asarray(matched(model, data.validation).labels)
        temperature = best_temperature(task, labels, said["validation"])
    return calibration_of(task, truth, said[part], temperature)


def _confusions(metrics: Mapping[str, Any], most: int) -> tuple[Confusion, ...]:
    """The pairs of classes that are mistaken most often; none where images do not have one class each."""
    if "confusion" not in metrics:
        return ()
    counts, names = np.array(metrics["confusion"]), list(metrics["classes"])
    totals = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:most]
    pairs = [divmod(int(place), len(names)) for place in order if counts.ravel()[place]]
    return tuple(
        Confusion(names[one], names[two], int(counts[one, two]), float(counts[one, two] / totals[one]))
        for one, two in pairs
    )


def _by_features(
    model: keras.Model,
    data: ImageData,
    images: ImageDataset,
    part: str,
    truth: np.ndarray,
    worst: np.ndarray,
    most: int,
    cache_dir: str | Path | None,
    notes: list[str],
) -> tuple[tuple[AlikeImages, ...], list[tuple[str, ...]], tuple[DoubtfulLabel, ...] | None]:
    """Near-duplicates of the part in the training set, the nearest training images of its worst, doubtful labels."""
    parts = _parts(data)
    vectors = vectors_of(model, parts, cache_dir)
    wrong = _doubtful(data, parts, vectors, most, notes)
    if part == "train":
        return (), [()] * len(worst), wrong
    train = matched(model, data.train)
    task = task_named(train.task)
    labels, names = np.asarray(train.labels), train.class_names
    places, cosines = Neighbours(vectors["train"]).nearest(vectors[part], _NEAREST)
    same = [bool(np.array_equal(truth[row], labels[places[row, 0]])) for row in range(len(truth))]
    alike = sorted(
        (
            AlikeImages(images.files[row], train.files[places[row, 0]], float(cosines[row, 0]), same[row])
            for row in np.flatnonzero(cosines[:, 0] > ALIKE)
        ),
        key=lambda pair: -pair.similarity,
    )
    nearest = [
        tuple(f"{train.files[place]} ({task.label_text(labels[place], names)})" for place in places[row])
        for row in worst
    ]
    return tuple(alike), nearest, wrong


def _doubtful(
    data: ImageData,
    parts: Mapping[str, ImageDataset],
    vectors: Mapping[str, np.ndarray],
    most: int,
    notes: list[str],
) -> tuple[DoubtfulLabel, ...] | None:
    if not task_named(data.task).one_class:
        notes.append("Doubtful labels are looked for only where each image has one class.")
        return None
    labels = np.concatenate([np.asarray(one.labels).ravel() for one in parts.values()]).astype(np.int64)
    if not enough(labels, data.num_classes):
        notes.append("Doubtful labels were not looked for: a class has fewer images than there are folds.")
        return None
    rows = np.concatenate(list(vectors.values()))
    if not rows.any():
        notes.append("Doubtful labels were not looked for: the features of all images are equal.")
        return None
    probabilities = out_of_fold(rows, labels, data.num_classes)
    found = doubtful(labels, probabilities)
    if found is None:
        notes.append("Doubtful labels were not looked for: that takes `pip install 'kertl[labels]'`.")
        return None
    files = [(file, name) for name, one in parts.items() for file in one.in_order().files]
    return tuple(
        DoubtfulLabel(
            files[place][0],
            files[place][1],
            data.class_names[labels[place]],
            data.class_names[int(probabilities[place].argmax())],
            float(probabilities[place, labels[place]]),
        )
        for place in found[:most]
    )


def _differences(
    model: keras.Model,
    other: keras.Model | None,
    images: ImageDataset,
    task: Task,
    truth: np.ndarray,
    names: Sequence[str],
    words: Sequence[str],
) -> tuple[Difference, ...]:
    """The images for which another model predicts another class, or other labels."""
    if other is None:
        return ()
    info, own = model_info(other), model_info(model)
    if info is not None and own is not None and info.class_names != own.class_names:
        raise ArgumentError(
            f"`other` must be a model for the same classes in the same order, {list(own.class_names)}. "
            f"Received: {other.name!r} for {list(info.class_names)}."
        )
    told = _words(other, task, predict(other, images))
    return tuple(
        Difference(images.files[row], task.label_text(truth[row], names), one, two)
        for row, (one, two) in enumerate(zip(words, told, strict=True))
        if _without_numbers(one) != _without_numbers(two)
    )


def _without_numbers(words: str) -> str:
    """What is predicted, without how likely it is."""
    return ", ".join(part.rsplit(" ", 1)[0] for part in words.split(", "))


def _maps(
    model: keras.Model, images: ImageDataset, rows: np.ndarray, notes: list[str]
) -> tuple[np.ndarray | None, str]:
    """Maps of places and what they show; if there is nothing to show, a note says why."""
    try:
        return where_it_looks(model, images.reader.take(rows))
    except NothingToShowError as error:
        notes.append(f"No maps of places are shown. {error}")
        return None, ""

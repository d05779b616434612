"""Which image is in which fold."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from kertl.data import ImageData, stratified
from kertl.errors import DataError
from kertl.tasks import class_ids, task_named

_logger = logging.getLogger(__name__)

_DRAWS = 5


def folds_of(data: ImageData, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The label and the fold of each image of the training and then the validation set.

    Folds are stratified: by class, by every label of an image, or by small and large targets. Equal images and those
    of one group are in one fold. Where a fold would have no image of a class, other divisions are tried; if none of
    them has every class in every fold, a warning names the classes and folds.

    Returns:
        Class ids of shape `(images,)`, or labels of shape `(images, classes)` or targets of shape `(images, targets)`;
        and the number of the fold, shape `(images,)`.

    Raises:
        DataError: If a class has fewer images, or groups of images that stay together, than there are folds, or would
            be in one fold alone, so that the training without it has none.
    """
    parts = [part for part in (data.train, data.validation) if part is not None]
    task = task_named(data.task)
    labels = np.concatenate([np.asarray(part.labels) for part in parts])
    numbered = list(zip(data.together, data.records, strict=True))
    together = [number for part in ("train", "validation") for number, record in numbered if record.split == part]
    members = task.members(labels, data.num_classes)
    refuse_rare(members, together, folds, data.class_names)
    strata = task.strata(labels)
    if task.one_class:
        labels = class_ids(labels)
    if members is None:
        return labels, _by_label([()] * len(labels), strata, together, folds, seed)
    divisions = _divisions(labels if task.one_class else None, members, strata, together, folds, seed)
    return labels, _soundest(divisions, members, folds, data.class_names)


def absent_classes(members: np.ndarray, fold_of: np.ndarray, names: Sequence[str]) -> str | None:
    """Which folds have no image of which classes, and what that means; None if every class is in every fold."""
    lacking = _counts(members, fold_of, fold_of.max() + 1) == 0
    told = []
    for number, row in enumerate(lacking, start=1):
        classes = ", ".join(repr(name) for name, absent in zip(names, row, strict=True) if absent)
        if classes:
            told.append(f"fold {number} has no image of {classes}")
    if not told:
        return None
    return (
        f"Metrics of a fold tell nothing about a class that is not in it: {'; '.join(told)}. Equal images and those of "
        "one group stay together. Ask for fewer folds, or add images of these classes."
    )


def _counts(members: np.ndarray, fold_of: np.ndarray, folds: int) -> np.ndarray:
    """Number of images of each class in each fold, shape `(folds, classes)`."""
    return np.array([members[fold_of == number].sum(axis=0) for number in range(folds)])


def _divisions(
    labels: np.ndarray | None,
    members: np.ndarray,
    strata: Sequence[tuple[str, ...]],
    together: Sequence[int],
    folds: int,
    seed: int,
) -> Iterator[np.ndarray]:
    """The division, and after it others that give each fold an image of a class first of all."""
    if labels is not None:
        yield deal(labels, together, folds, seed)
    named = [tuple(map(str, np.flatnonzero(row))) for row in members]
    for draw in range(_DRAWS):
        yield _by_label(named, strata, together, folds, seed + draw)


def _soundest(divisions: Iterator[np.ndarray], members: np.ndarray, folds: int, names: Sequence[str]) -> np.ndarray:
    """The first division with every class in every fold, else the first of those with the fewest classes absent."""
    tried = []
    for fold_of in divisions:
        counts = _counts(members, fold_of, folds)
        if counts.all():
            return fold_of
        alone = (counts == members.sum(axis=0)).any(axis=0)
        tried.append(((int(alone.sum()), int((counts == 0).sum())), alone, fold_of))
    _, alone, fold_of = min(tried, key=lambda one: one[0])
    if alone.any():
        fewer = ", or ask for fewer folds" if folds > 2 else ""
        raise DataError(
            f"Class {names[int(alone.argmax())]!r} needs an image in each training, and no division into {folds} folds "
            f"was found in which it is not in one fold alone, where equal images and those of one group stay together. "
            f"Add images of the class (where there are groups, in others), or remove it{fewer}.",
            code="split",
        )
    _logger.warning("%s", absent_classes(members, fold_of, names))
    return fold_of


def _by_label(
    named: Sequence[tuple[str, ...]],
    strata: Sequence[tuple[str, ...]],
    together: Sequence[int],
    folds: int,
    seed: int,
) -> np.ndarray:
    """The fold of each image, label by label, with images that belong together in one fold."""
    bundles = defaultdict(list)
    for row, number in enumerate(together):
        bundles[number].append(row)
    places = stratified(named, strata, list(bundles.values()), [1 / folds] * folds, seed)
    found = np.empty(len(named), np.int64)
    for rows, place in zip(bundles.values(), places, strict=True):
        found[rows] = place
    return found


def deal(labels: np.ndarray, together: Sequence[int], folds: int, seed: int) -> np.ndarray:
    """The fold of each image: stratified by class, with images that belong together in one fold.

    Args:
        labels: Class id of each image; each class has at least as many bundles of images as there are folds.
        together: A number for each image; images with the same number are not separated.
        folds: Number of folds; >= 2.
        seed: Seed of the order in which they are assigned.
    """
    bundles = np.asarray(together)
    # Without groups the plain way divides the classes more evenly, and is quick.
    alone = len(np.unique(bundles)) == len(bundles)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    splitter = kind(n_splits=folds, shuffle=True, random_state=seed)
    found = np.empty(len(labels), np.int64)
    for number, (_, judged) in enumerate(splitter.split(labels, labels, None if alone else bundles)):
        found[judged] = number
    return found


def refuse_rare(members: np.ndarray | None, together: Sequence[int], folds: int, names: Sequence[str]) -> None:
    """Refuse what cannot be in every fold: a class, or where there are none, images."""
    bundles = np.asarray(together)
    if members is None:
        count = len(np.unique(bundles))
        if count < folds:
            raise DataError(
                f"Each of {folds} folds needs an image, and there are {count}, where equal images and those of one "
                "group count once. Add images, or ask for fewer folds.",
                code="split",
            )
        return
    for name, has in zip(names, members.T, strict=True):
        count = len(np.unique(bundles[has]))
        if count < folds:
            raise DataError(
                f"Class {name!r} needs an image for each of {folds} folds, and has {count}, where equal images and "
                "those of one group count once. Add images of the class, remove it, or ask for fewer folds.",
                code="split",
            )

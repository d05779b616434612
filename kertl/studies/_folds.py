"""Which image is in which fold."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from kertl.data import ImageData, stratified
from kertl.errors import DataError
from kertl.tasks import class_ids, task_named


def folds_of(data: ImageData, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The label and the fold of each image of the training and then the validation set.

    Folds are stratified: by class, by every label of an image, or by small and large targets. Equal images and those
    of one group are in one fold.

    Returns:
        Class ids of shape `(images,)`, or labels of shape `(images, classes)` or targets of shape `(images, targets)`;
        and the number of the fold, shape `(images,)`.

    Raises:
        DataError: If a class has fewer images, or groups of images that stay together, than there are folds.
    """
    parts = [part for part in (data.train, data.validation) if part is not None]
    task = task_named(data.task)
    labels = np.concatenate([np.asarray(part.labels) for part in parts])
    numbered = list(zip(data.together, data.records, strict=True))
    together = [number for part in ("train", "validation") for number, record in numbered if record.split == part]
    members = task.members(labels, data.num_classes)
    refuse_rare(members, together, folds, data.class_names)
    if task.one_class:
        labels = class_ids(labels)
        return labels, deal(labels, together, folds, seed)
    bundles = defaultdict(list)
    for row, number in enumerate(together):
        bundles[number].append(row)
    named = [()] * len(labels) if members is None else [tuple(map(str, np.flatnonzero(row))) for row in members]
    places = stratified(named, task.strata(labels), list(bundles.values()), [1 / folds] * folds, seed)
    found = np.empty(len(labels), np.int64)
    for rows, place in zip(bundles.values(), places, strict=True):
        found[rows] = place
    return labels, found


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

"""Which image is in which fold."""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from kertl.data import ImageData
from kertl.errors import DataError
from kertl.probes import classes_of


def folds_of(data: ImageData, folds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The class and the fold of each image of the training and then the validation set, as in `deal`.

    Raises:
        ValueError: If images do not have one class each.
        DataError: If a class has fewer images than there are folds.
    """
    parts = [part for part in (data.train, data.validation) if part is not None]
    labels = np.concatenate([classes_of(part) for part in parts])
    numbered = list(zip(data.together, data.records, strict=True))
    together = [number for part in ("train", "validation") for number, record in numbered if record.split == part]
    return labels, deal(labels, together, folds, seed, data.class_names)


def deal(labels: np.ndarray, together: Sequence[int], folds: int, seed: int, class_names: Sequence[str]) -> np.ndarray:
    """The fold of each image: stratified by class, with images that belong together in one fold.

    Args:
        labels: Class id of each image.
        together: A number for each image; images with the same number are not separated.
        folds: Number of folds; >= 2.
        seed: Seed of the order in which they are assigned.
        class_names: Name of each class id.

    Raises:
        DataError: If a class has fewer images, or groups of images that stay together, than there are folds.
    """
    bundles = np.asarray(together)
    for label, name in enumerate(class_names):
        count = len(np.unique(bundles[labels == label]))
        if count < folds:
            raise DataError(
                f"Class {name!r} needs an image for each of {folds} folds, and has {count}, where equal images and "
                "those of one group count once. Add images of the class, remove it, or ask for fewer folds.",
                code="split",
            )
    # Without groups the plain way divides the classes more evenly, and is quick.
    alone = len(np.unique(bundles)) == len(bundles)
    kind = StratifiedKFold if alone else StratifiedGroupKFold
    splitter = kind(n_splits=folds, shuffle=True, random_state=seed)
    found = np.empty(len(labels), np.int64)
    for number, (_, judged) in enumerate(splitter.split(labels, labels, None if alone else bundles)):
        found[judged] = number
    return found

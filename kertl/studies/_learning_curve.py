"""`learning_curve`: accuracy against the number of training images, on one extraction."""

import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from kertl._checks import LARGEST_SEED, check_cache_dir, complain, integer, several
from kertl.data import ImageData, check_image_data
from kertl.errors import ArgumentError
from kertl.probes import RIDGE_STRENGTHS, Depths, Ridge, Standardiser, classes_of
from kertl.studies._curve import LearningCurve, Point
from kertl.studies._power_law import PowerLaw

_MOST_SIZES = 7
_FEWEST_PER_CLASS = 5


def learning_curve(
    model: keras.Model,
    data: ImageData,
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 3,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> LearningCurve:
    """Accuracy against the number of training images, and whether more images or a better model would raise it.

    The backbone runs once over the training and the validation set. For each size and repeat, images of the training
    set are drawn, every class according to its share, and ridge regression is fitted on their standardised features,
    with the strength that predicts most training images correctly when each is left out. It is evaluated on the
    validation set, which chooses nothing; the test set is not used. A power law is fitted to the mean errors.

    Its `advice` is "more data" if both of these hold, and "more model" if one of them surely does not:

    - by the power law, doubling the images is expected to remove at least a tenth of the error: the 95 % interval of
      that share lies above it (below it, the first does not hold);
    - the accuracy on the training images is above that on the validation images by more than two standard errors:
      there is variance, which more images lower. Without it, only bias is left, which they do not lower. It is absent
      if the gap and two standard errors are less than a tenth together.

    Otherwise the images are too few to tell, and it is "undecided".

    This is about the frozen features. "More model" means training deeper layers, or using another backbone.

    Args:
        model: A backbone, or a classifier, whose head is left out.
        data: Images with one class each, in a training and a validation set.
        sizes: Numbers of training images, at least three; by default all, half of them, a quarter and so on.
        repeats: How often each size is drawn, except for that of all images, which can only be drawn in one way; >= 1.
        seed: Seed of the draws; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        ValueError: If an argument is outside its range, there is no validation set, or images do not have one class
            each.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (80, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 40, validation=0.25, test=0.25)
        >>> backbone = kertl.load_backbone("MobileNetV2", weights=None, input_shape=(32, 32, 3))
        >>> found = kertl.learning_curve(backbone, data)
        >>> [point.size for point in found.points]
        [10, 20, 40]

    Reference:
        Cortes, Jackel, Solla, Vapnik & Denker, "Learning Curves: Asymptotic Values and Rate of Convergence", 1993, for
        the law. Ng, "Machine Learning Yearning", 2018, chapters 28 to 31, for reading slope and gap; the two bounds
        are ours.
    """
    integer("repeats", repeats, at_least=1)
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    check_cache_dir(cache_dir)
    check_image_data(data)
    if data.validation is None:
        raise ArgumentError(
            "`data` must have a validation set, on which the sizes are evaluated. Received: data.validation=None. "
            "Make it with `validation=0.15`."
        )
    labels, judged = classes_of(data.train), classes_of(data.validation)
    sizes = _sizes(sizes, len(labels), data.num_classes)
    depths = Depths(model, None)
    start = time.perf_counter()
    vectors, asked = (
        depths.vectors(part, cache_dir)[:, depths.depths[-1].columns] for part in (data.train, data.validation)
    )
    extraction_seconds = time.perf_counter() - start
    start = time.perf_counter()
    points = []
    for size in sizes:
        runs = []
        for repeat in range(repeats if size < len(labels) else 1):
            rows = _drawn(labels, size, np.random.default_rng((seed, size, repeat)))
            runs.append(_accuracies(vectors[rows], labels[rows], asked, judged, data.num_classes))
        points.append(Point(size, *(tuple(shares) for shares in zip(*runs, strict=True))))
    return LearningCurve(
        points=tuple(points),
        law=PowerLaw.fitted(sizes, [1 - point.mean for point in points]),
        majority=float(np.mean(judged == np.bincount(labels).argmax())),
        judged_on=len(judged),
        extraction_seconds=extraction_seconds,
        fitting_seconds=time.perf_counter() - start,
    )


def _sizes(sizes: Sequence[int] | None, count: int, classes: int) -> list[int]:
    if sizes is None:
        halves = [count >> power for power in range(_MOST_SIZES)]
        enough = [size for size in halves if size >= _FEWEST_PER_CLASS * classes]
        if len(enough) < 3:
            raise ArgumentError(
                f"`data` must have at least {4 * _FEWEST_PER_CLASS * classes} training images of {classes} classes, "
                f"so that a quarter of them shows something. Received: {count}. Or say which `sizes`."
            )
        return enough[::-1]
    accepted = f"at least three different whole numbers from {classes} to {count}"
    given = list(several("sizes", sizes, accepted))
    whole = all(isinstance(size, (int, np.integer)) and classes <= size <= count for size in given)
    if not whole or len(set(given)) < 3:
        raise complain("sizes", accepted, sizes)
    return sorted({int(size) for size in given})


def _drawn(labels: np.ndarray, size: int, random: np.random.Generator) -> np.ndarray:
    """Some of the rows, of each class its share to within one, and at least one."""
    shuffled = random.permutation(len(labels))
    # How far through its class each row is: the smallest of these are the first so many of every class.
    progress = np.empty(len(labels))
    for label in np.unique(labels):
        mine = shuffled[labels[shuffled] == label]
        progress[mine] = np.r_[0, (np.arange(1, len(mine)) + 0.5) / len(mine)]
    return np.sort(shuffled[np.argsort(progress[shuffled], kind="stable")][:size])


def _accuracies(
    rows: np.ndarray, labels: np.ndarray, asked: np.ndarray, judged: np.ndarray, classes: int
) -> tuple[float, float]:
    """The accuracies on the rows themselves and on those asked."""
    standardise = Standardiser(rows)
    rows = standardise(rows)
    fitted = Ridge(rows, labels, classes)
    strength = max(RIDGE_STRENGTHS, key=fitted.accuracy_left_out)
    training, validation = (
        float(np.mean(fitted.scores(these, strength).argmax(axis=1) == those))
        for these, those in ((rows, labels), (standardise(asked), judged))
    )
    return training, validation

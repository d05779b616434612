"""`shift`: how far two sets of images are apart to a model, by depth."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from kertl._checks import LARGEST_SEED, check_cache_dir, complain, integer
from kertl.backbones import refuse_nan
from kertl.data import ImageDataset
from kertl.errors import DataError
from kertl.evaluation import matched
from kertl.features import extract
from kertl.groups import find_chain
from kertl.model import model_info, task_of
from kertl.probes import Depths
from kertl.studies._domain import domain_images
from kertl.studies._label_shift import estimated_shares
from kertl.studies._shift_result import LEVEL, Far, LabelShift, Shift, ShiftAt
from kertl.studies._two_samples import Components, compare, domain_scores

_MOST = 2_000
"""Images of each domain by which it is measured."""
_LEAST_SHARE = 1e-3


def shift(
    model: keras.Model,
    a: Any,
    b: Any,
    *,
    boundaries: Sequence[str] | None = None,
    farthest: int = 20,
    seed: int = 0,
    cache_dir: str | Path | None = None,
) -> Shift:
    """How far two sets of images are apart to a model, by depth, and where the shift begins.

    The features at all boundaries come from one pass over each set, pooled to vectors. At each boundary: differences of
    means and covariances, the Fréchet distance with that of two halves of a beside it, the cross-validated AUC of a
    classifier that tells b from a, and a permutation test with the MMD. The domains differ at a boundary if the test is
    below 0.05 (all boundaries together, by Bonferroni) and the lower end of the interval of the AUC is above 0.5. At
    most 2,000 images of each set are used, drawn at random.

    Label shift is told apart from covariate shift: if the model is a classifier for one class of several, the images of
    a are weighted so that its classes have the shares of b, and what a classifier can still tell is covariate shift.
    Without labels in b these shares are estimated, on the assumption that there is no covariate shift; where there is
    one, they are off.

    Args:
        model: A classifier or a backbone; it is not changed.
        a: The images of the one domain, at least 10: a part of `kertl.data`, an `ImageData` (its training set, as in
            `kertl.adapt`), an array, files or folders, or batches from elsewhere, as in `kertl.predict`. To a network
            that was fine-tuned, images that it was trained on look otherwise than others; `data.validation` are such.
        b: Those of the other.
        boundaries: Names of the layer groups after which to measure; by default the main boundaries.
        farthest: How many of the images of b that are farthest from a to name; >= 0.
        seed: Seed of all draws; 0 <= seed <= 4,000,000,000.
        cache_dir: Where features are cached, as in `kertl.extract`.

    Raises:
        DataError: If a set has fewer than 10 images, or they do not fit the model.
        ValueError: If an argument is outside its range, or there is no such layer group.

    Example:
        >>> import keras, numpy as np, kertl
        >>> random = np.random.default_rng(0)
        >>> a = random.integers(0, 200, (40, 32, 32, 3), dtype="uint8")
        >>> b = random.integers(50, 250, (40, 32, 32, 3), dtype="uint8")
        >>> layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(8, 3, strides=2, activation="relu")]
        >>> model = keras.Sequential(layers)
        >>> found = kertl.shift(model, a, b)
        >>> found.begins == found.depths[0].boundary, found.depths[0].distances.p_value
        (True, 0.002)
    """
    integer("farthest", farthest, at_least=0)
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    check_cache_dir(cache_dir)
    refuse_nan(model)
    depths = Depths(model, boundaries)
    parts = [_drawn(domain_images(name, model, data, part="train"), seed) for name, data in (("a", a), ("b", b))]
    vectors = [depths.vectors(images, cache_dir) for images in parts]
    for name, found in zip("ab", vectors, strict=True):
        _refuse_not_finite(name, found)
    rows = []
    for depth in depths.depths:
        distances = compare(*(one[:, depth.columns] for one in vectors), seed=seed)
        seen = distances.p_value <= max(LEVEL / len(depths.depths), 1 / 500) and distances.auc_interval[0] > 0.5
        rows.append(ShiftAt(depth.boundary, depth.columns.stop - depth.columns.start, distances, seen))
    a_last, b_last = (one[:, depths.depths[-1].columns] for one in vectors)
    return Shift(
        depths=tuple(rows),
        images=(len(vectors[0]), len(vectors[1])),
        labels=_label_shift(model, parts, (a_last, b_last), seed, cache_dir),
        farthest=farthest_of(a_last, b_last, parts[1].files, farthest, seed),
    )


def _drawn(images: ImageDataset, seed: int) -> ImageDataset:
    """At most 2,000 of the images, in data order."""
    if images.num_examples <= _MOST:
        return images
    chosen = np.random.default_rng(seed).choice(images.num_examples, _MOST, replace=False)
    return images.subset(np.sort(chosen), shuffle=False)


def _refuse_not_finite(argument: str, rows: np.ndarray) -> None:
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise DataError(
            f"`{argument}` must have images with finite features. Received: NaN or infinity for {len(broken)} images, "
            f"such as number {broken[0]}."
        )


def distances_from(a: np.ndarray, seed: int) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """A function from rows to their Mahalanobis distance from sample a, and the distances of rows of a not fitted.

    The covariance is shrunk, since features may be as many as images.

    Reference:
        Ledoit & Wolf, "A well-conditioned estimator for large-dimensional covariance matrices", 2004.
    """
    order = np.random.default_rng(seed).permutation(len(a))
    fitted, others = a[order[: len(a) // 2]], a[order[len(a) // 2 :]]
    found = LedoitWolf().fit(fitted)

    def distance(rows: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(np.asarray(found.mahalanobis(rows)), 0))

    return distance, np.sort(distance(others))


def farthest_of(a: np.ndarray, b: np.ndarray, files: Sequence[str], most: int, seed: int) -> tuple[Far, ...]:
    components = Components(a, b)
    distance, usual = distances_from(components(a), seed)
    found, median = distance(components(b)), max(float(np.median(usual)), np.finfo(np.float64).tiny)
    beyond = np.searchsorted(usual, found) / len(usual)
    chosen = np.argsort(-found, kind="stable")[:most]
    return tuple(Far(files[k], float(found[k]) / median, float(beyond[k])) for k in chosen)


def _label_shift(
    model: keras.Model,
    parts: Sequence[ImageDataset],
    last: Sequence[np.ndarray],
    seed: int,
    cache_dir: str | Path | None,
) -> LabelShift | None:
    """The label shift; None if the model is no classifier for one class of several."""
    chain = find_chain(model)
    if not chain.has_head or task_of(model) != "single_label":
        return None
    said = [_answers(model, images, cache_dir) for images in parts]
    info = model_info(model)
    names = info.class_names if info is not None and info.class_names else tuple(map(str, range(said[0].shape[1])))
    truth = [_labels(model, images, names) for images in parts]
    at_least = _LEAST_SHARE / len(names)
    guessed = said[0].mean(axis=0) if truth[0] is None else _shares(truth[0], len(names))
    shares_a = np.maximum(guessed, at_least) / np.maximum(guessed, at_least).sum()
    shares_b = estimated_shares(said[1], shares_a) if truth[1] is None else _shares(truth[1], len(names))
    ratio = shares_b / shares_a
    weights = said[0] @ ratio if truth[0] is None else ratio[truth[0]]
    components = Components(*last)
    a, b = (components(found) for found in last)
    plain, domain = domain_scores(a, b, seed=seed)
    scores, domain = domain_scores(a, b, weights=weights, seed=seed)
    counted = np.concatenate([weights, np.ones(len(b))])
    return LabelShift(
        shares_a=dict(zip(names, map(float, shares_a), strict=True)),
        shares_b=dict(zip(names, map(float, shares_b), strict=True)),
        from_labels=(truth[0] is not None, truth[1] is not None),
        distance=float(np.abs(shares_a - shares_b).sum() / 2),
        auc=float(roc_auc_score(domain, plain)),
        auc_without=float(roc_auc_score(domain, scores, sample_weight=counted)),
        accuracy=None if truth[0] is None else float((said[0].argmax(axis=1) == truth[0]).mean()),
    )


def _answers(model: keras.Model, images: ImageDataset, cache_dir: str | Path | None) -> np.ndarray:
    """The model's probabilities, from cached features and its head."""
    chain = find_chain(model)
    features = extract(model, images, at="deep", cache_dir=cache_dir)
    head = chain.piece(len(chain.backbone_groups), len(chain.groups), name="head")
    return np.asarray(head.predict(features.take(np.arange(len(features))), verbose=0, batch_size=256))


def _labels(model: keras.Model, images: ImageDataset, names: Sequence[str]) -> np.ndarray | None:
    """The class ids in the model's numbering, if the images have labels of its classes."""
    if images.labels is None or images.task not in ("single_label", "binary"):
        return None
    if not set(images.class_names) <= set(names) and model_info(model) is not None:
        raise complain(
            "b", f"images of the model's classes, {list(names)}", images.class_names, "Leave out the labels."
        )
    return np.asarray(matched(model, images).labels).reshape(-1).astype(np.int64)


def _shares(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels, minlength=classes) / len(labels)

"""`adapt` with labels of the target, deeper than the head: from the boundary on from which the domains differ."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.model_selection import train_test_split

from kertl._checks import complain
from kertl._domains import Classifier, labels_of
from kertl.adaptation._result import RISK_OF_LABELS, Adaptation, Judged, interval_of
from kertl.data import ImageData, ImageDataset
from kertl.evaluation import matched, predict, resize_of
from kertl.groups import copied, find_chain
from kertl.model import task_of
from kertl.recipe import Recipe, Stage
from kertl.runner import fine_tune
from kertl.studies import shift
from kertl.tasks import task_named
from kertl.training import solvable_head

_HELD_OUT = 0.25
_FEWEST = 4
_DEEPER = Stage("mid", epochs=10, learning_rate=3e-4, layer_decay=0.8, weight_decay=0.0, l2_sp=0.01, augment="none")
"""Gentle: lower rates towards the boundary, and a pull towards the weights of the source."""


def adapt_deeper(
    classifier: Classifier, images: ImageDataset, source: ImageDataset | None, *, seed: int, cache_dir: Any
) -> Adaptation:
    """A copy of the model: its head is solved on the target, then it trains from where the domains differ on.

    Without images of the source, or where no shift is seen, that is "mid". A quarter of the target is held out, by
    which the accuracies before and after are measured; weights are those of the last epochs, so that they are fair.

    Args:
        classifier: The classifier.
        images: Images of the target with labels.
        source: Images of the source with labels.
        seed: Seed of the split and of training.
        cache_dir: Where features are cached.

    Raises:
        DataError: If labels are of other classes than the model's.
        ValueError: If a class has fewer than 4 images.
    """
    labels = labels_of("target", classifier, images)
    assert labels is not None
    smallest = int(np.bincount(labels)[np.unique(labels)].min())
    if smallest < _FEWEST:
        advice = "Take 'labels', which solves the head."
        raise complain("method", f"another one with fewer than {_FEWEST} images of a class", "fine_tune", advice)
    at = _begins(classifier.model, images, source, seed, cache_dir)
    fitted, held = train_test_split(np.arange(len(labels)), test_size=_HELD_OUT, stratify=labels, random_state=seed)
    images = matched(classifier.model, images)
    chain = copied(find_chain(classifier.model), 0)
    model = classifier.told(chain.at_shape(chain.graph.shapes[chain.graph.input], name=classifier.model.name))
    recipe = _recipe(model, at)
    fine_tune(model, _data(classifier, images, np.sort(fitted), seed), recipe=recipe, cache_dir=cache_dir, verbose=0)
    asked, of_source = images.subset(np.sort(held), shuffle=False), source
    judged = [
        _judged(name, one, classifier, asked, of_source)
        for name, one in (("none", classifier.model), ("fine_tune", model))
    ]
    before, after = judged
    warnings = []
    if (after.target_accuracy or 0) < (before.target_accuracy or 0):
        warnings.append("It is worse than the model as it was on the images that were held out.")
    if source is None:
        warnings.append("Without images of the source, it is not known what was forgotten.")
    shares = np.bincount(labels, minlength=classifier.classes) / len(labels)
    return Adaptation(
        model=model,
        method="fine_tune",
        reason=f"It was asked for; layers train from {at!r} on, slower towards it, and are pulled to where they were.",
        risk=RISK_OF_LABELS,
        judged=(before, dataclasses.replace(after, changed=_changed(classifier.model, model, asked))),
        shares=dict(zip(classifier.names, map(float, shares), strict=True)),
        images=(len(labels), 0 if source is None else source.num_examples),
        warnings=tuple(warnings),
    )


def _recipe(model: keras.Model, at: str) -> Recipe:
    """First the head, solved if it can be, then what is after the boundary."""
    chain, task = find_chain(model), task_named(task_of(model))
    solved = solvable_head(chain, "deep", task) is not None
    head = Stage("deep", solver="exact") if solved else Stage("deep", augment="none")
    return Recipe(stages=[head, dataclasses.replace(_DEEPER, at=at)])


def _begins(
    model: keras.Model, images: ImageDataset, source: ImageDataset | None, seed: int, cache_dir: str | Path | None
) -> str:
    """The layer group from which on the domains differ; "mid" where that is not known."""
    if source is None:
        return "mid"
    return shift(model, source, images, farthest=0, seed=seed, cache_dir=cache_dir).begins or "mid"


def _data(classifier: Classifier, images: ImageDataset, rows: np.ndarray, seed: int) -> ImageData:
    """Some of the images as a data set to train on."""
    train = images.subset(rows, seed=seed, shuffle=True)
    names = list(classifier.names)
    size, how, task = images.image_size, resize_of(classifier.model), task_of(classifier.model)
    return ImageData(train, None, None, names, (), (), size, train.batch_size, seed, how, task)


def _said(model: keras.Model, images: ImageDataset) -> np.ndarray:
    scores = predict(model, images)
    return np.asarray(scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int))


def _changed(before: keras.Model, after: keras.Model, images: ImageDataset) -> float:
    return float(np.mean(_said(before, images) != _said(after, images)))


def _judged(
    name: str, model: keras.Model, classifier: Classifier, asked: ImageDataset, source: ImageDataset | None
) -> Judged:
    """Accuracies of a model on both domains."""
    right = [
        None if images is None else _said(model, images) == labels_of("source", classifier, images)
        for images in (asked, source)
    ]
    of_target, of_source = right
    assert of_target is not None
    nothing = float("nan")
    return Judged(
        method=name,
        changed=0.0,
        entropy=nothing,
        domain_auc=nothing,
        imbalance=nothing,
        reverse_accuracy=nothing,
        source_accuracy=None if of_source is None else float(of_source.mean()),
        target_accuracy=float(of_target.mean()),
        source_interval=None if of_source is None else interval_of(of_source),
        target_interval=interval_of(of_target),
    )

"""Methods that train: a projection of the features on which the domains cannot be told apart, and a head on it."""

import dataclasses

import keras
import numpy as np

from kertl._domains import Classifier, SourceFeatures
from kertl.groups import drawing_from
from kertl.model import ModelInfo, set_model_info
from kertl.recipe import Stage
from kertl.training import Learner, train_on_domains

_MORE_DIRECTIONS = 32
_STAGE = Stage(
    "full", epochs=10, learning_rate=3e-4, weight_decay=1e-2, augment="none", label_smoothing=0.0, batch_size=64
)


@dataclasses.dataclass(frozen=True)
class _How:
    distance: str
    weight: float


HOW = {"deep_coral": _How("coral", 5.0), "mmd": _How("mmd", 5.0), "dann": _How("adversarial", 0.1)}
"""By method, which distance it makes small, and with which weight beside the loss of the classifier."""


def trained(
    classifier: Classifier, source: SourceFeatures, target: np.ndarray, method: str, *, stage: Stage = _STAGE
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a head that is trained on a projection of the features, where the domains are near.

    It begins as the classifier is. Both are linear, so that they fold into the last Dense layer.

    Args:
        classifier: The classifier.
        source: The features of its domain.
        target: Features of the target, aligned, shape `(m, features)`; kernel and bias are for these.
        method: "deep_coral", "mmd" or "dann".
        stage: How it is trained.
    """
    mean, spread = source.rows.mean(axis=0), source.rows.std(axis=0)
    spread = np.maximum(spread, 0.05 * np.median(spread)) + 1e-12
    first, second = (((rows - mean) / spread).astype(np.float32) for rows in (source.rows, target))
    head = _head(classifier, mean, spread)
    how = HOW[method]
    labels = source.labels if classifier.link == "softmax" else source.labels[:, None].astype(np.float32)
    task = "single_label" if classifier.link == "softmax" else "binary"
    learner = Learner.of(head, task)
    train_on_domains(learner, stage, first, labels, second, distance=how.distance, weight=how.weight)
    projection, kernel, bias = (np.asarray(one, np.float64) for one in head.get_weights())
    kernel = projection @ kernel / spread[:, None]
    return kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32)


def _head(classifier: Classifier, mean: np.ndarray, spread: np.ndarray) -> keras.Model:
    """A projection of standardised features and a head on it, which together are the classifier as it is."""
    inputs = keras.Input((len(mean),))
    outputs = classifier.kernel.shape[1]
    with drawing_from(0):
        projection = keras.layers.Dense(outputs + _MORE_DIRECTIONS, use_bias=False, name="projection")
        answers = keras.layers.Dense(outputs, activation=classifier.link, name="head")(projection(inputs))
    model = keras.Model(inputs, answers)
    matrix, kernel, _ = model.get_weights()
    own = classifier.kernel * spread[:, None]
    lengths = np.maximum(np.linalg.norm(own, axis=0), 1e-12)
    matrix[:, :outputs], kernel[:] = own / lengths, 0.0
    kernel[:outputs] = np.diag(lengths)
    model.set_weights([matrix, kernel, classifier.bias + mean @ classifier.kernel])
    task = "single_label" if classifier.link == "softmax" else "binary"
    return set_model_info(model, ModelInfo(task, classifier.names, "features", ""))

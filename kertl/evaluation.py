"""Judging a classifier on images that it has not been trained on, and asking it about new ones."""

from typing import Any

import keras
import numpy as np
from sklearn import metrics

from kertl._checks import complain
from kertl.data import ImageDataset, data_errors


def predict(model: keras.Model, dataset: ImageDataset) -> np.ndarray:
    """What the model says about every image, in data order.

    Args:
        model: A model that takes pictures of 0..255.
        dataset: A part of `kertl.data`, or `kertl.data.images(...)`.

    Returns:
        Array of shape `(images, outputs)`; for a single-label classifier, probabilities.
    """
    ordered = dataset.in_order()
    with data_errors(ordered):
        return np.asarray(model.predict(ordered, verbose=0))


def evaluate(model: keras.Model, dataset: ImageDataset) -> dict[str, Any]:
    """How well a single-label classifier does on a part of the data.

    Args:
        model: Gives one probability per class, shape `(batch, classes)`.
        dataset: A labelled part of `kertl.data`.

    Returns:
        `images` (count), `accuracy`, `balanced_accuracy` (mean recall over the classes), `macro_f1`, `crossentropy`
        (mean, in nats), `majority` (share of the largest class, which is what answering it always would score),
        `classes` (precision, recall and count by name), and `confusion` (rows: truth, columns: answer).

    Raises:
        ValueError: If the model has another number of outputs than the data has classes, or there are no labels.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> pictures = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 4, validation=0, test=0)
        >>> sorted(kertl.evaluate(model, data.train))[:3]
        ['accuracy', 'balanced_accuracy', 'classes']
    """
    names = list(dataset.class_names)
    if dataset.labels is None:
        raise complain("dataset", "a part of the data that has labels", dataset)
    if model.output_shape[-1] != len(names):
        raise ValueError(
            f"`model` must have one output per class of the data, {len(names)}. "
            f"Received: {model.name!r} with {model.output_shape[-1]} outputs."
        )
    truth = np.asarray(dataset.labels)
    probabilities = predict(model, dataset)
    answers = probabilities.argmax(axis=1)
    ids = list(range(len(names)))
    precision, recall, f1, count = metrics.precision_recall_fscore_support(truth, answers, labels=ids, zero_division=0)
    seen = count > 0
    likelihood = np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, 1)
    return {
        "images": len(truth),
        "accuracy": float(np.mean(answers == truth)),
        "balanced_accuracy": float(recall[seen].mean()),
        "macro_f1": float(f1[seen].mean()),
        "crossentropy": float(-np.log(likelihood).mean()),
        "majority": float(count.max() / len(truth)),
        "classes": {
            name: {"precision": float(precision[i]), "recall": float(recall[i]), "images": int(count[i])}
            for i, name in enumerate(names)
        },
        "confusion": metrics.confusion_matrix(truth, answers, labels=ids).tolist(),
    }

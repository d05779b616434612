"""Judging a model on images that it has not been trained on, and asking it about new ones."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from sklearn import metrics

from kertl._checks import complain, integer
from kertl.callbacks import EpochSeeds
from kertl.data import ImageData, ImageDataset, data_errors
from kertl.data import augment as augmentation
from kertl.model import DEFAULT_THRESHOLD, ModelInfo, model_info, set_model_info, task_of
from kertl.tasks import task_named

# A probability is kept this far from 0 when its logarithm is taken.
_LEAST = 1e-7


class _Varied(keras.utils.PyDataset):
    """One augmented version of the images of a dataset; batch i is a function of (seed, version, i)."""

    def __init__(self, dataset: ImageDataset, augmented: str | Sequence[Any], seed: int, version: int) -> None:
        super().__init__()
        self._dataset, self._first = dataset, version * len(dataset)
        self._layers = keras.Sequential([keras.Input((*dataset.image_size, 3)), *augmentation.layers(augmented)])
        self._seeds = EpochSeeds(seed, self._layers)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Any]:
        images = self._dataset.batch(0, index)[0].astype(np.float32)
        self._seeds.on_epoch_begin(self._first + index)
        return (keras.ops.convert_to_numpy(self._layers(images, training=True)),)


def predict(
    model: keras.Model, dataset: ImageDataset, *, views: int = 0, augment: str | Sequence[Any] = "light", seed: int = 0
) -> np.ndarray:
    """What the model says about every image, in data order.

    Args:
        model: A model that takes pictures of 0..255.
        dataset: A part of `kertl.data`, or `kertl.data.images(...)`.
        views: Test-time augmentation: the answers to so many augmented versions of each image are averaged with the
            answer to the image itself, which takes that much longer; >= 0.
        augment: How these vary, as in `kertl.Stage`.
        seed: Of these; >= 0.

    Returns:
        Array of shape `(images, outputs)`: probabilities of the classes; for "binary" that of the second class; for
        "regression" the targets in their own units. `kertl.answers` puts them into words.
    """
    integer("views", views, at_least=0)
    integer("seed", seed, at_least=0)
    ordered = dataset.in_order()
    if views and not augmentation.layers(augment):
        raise complain("augment", "one that varies images, where `views` > 0", augment)
    asked = [ordered, *(_Varied(ordered, augment, seed, version) for version in range(views))]
    with data_errors(ordered):
        answered = [model.predict(dataset, verbose=0) for dataset in asked]
    return np.mean(answered, axis=0) if views else np.asarray(answered[0])


def answers(model: keras.Model, predictions: np.ndarray, *, top: int = 3) -> list[dict[str, Any]]:
    """What predictions mean, image by image, in plain values that JSON takes.

    Args:
        model: The model that made them; its task, class names and thresholds count.
        predictions: What `kertl.predict` gave.
        top: How many classes to name for a single label, the likeliest first; >= 1.

    Returns:
        For each image, by task:
        "single_label": `classes`, a list of `class` and `probability`;
        "binary": `label`, the class answered; `positive`, the second class, and `probability`, that of this class;
        "multi_label": `labels`, a list of `class` and `probability` of those that reach their threshold, the likeliest
        first;
        "regression": `targets`, the values by name.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build(
        ...     "MobileNetV2", class_names=["no", "yes"], task="binary", weights=None, input_shape=(32, 32, 3)
        ... )
        >>> kertl.answers(model, np.array([[0.75]]))
        [{'label': 'yes', 'positive': 'yes', 'probability': 0.75}]
    """
    task, names = task_of(model), output_names(model)
    thresholds = _thresholds(model, predictions.shape[1])

    def ranked(row: np.ndarray, places: Iterable[int]) -> list[dict[str, Any]]:
        return [{"class": names[place], "probability": float(row[place])} for place in places]

    def single_label(row: np.ndarray) -> dict[str, Any]:
        return {"classes": ranked(row, (-row).argsort(kind="stable")[:top])}

    def binary(row: np.ndarray) -> dict[str, Any]:
        label = names[int(row[0] >= thresholds[0])]
        return {"label": label, "positive": names[1], "probability": float(row[0])}

    def multi_label(row: np.ndarray) -> dict[str, Any]:
        return {"labels": ranked(row, [k for k in (-row).argsort(kind="stable") if row[k] >= thresholds[k]])}

    def regression(row: np.ndarray) -> dict[str, Any]:
        return {"targets": dict(zip(names, row.tolist(), strict=True))}

    describe: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
        "single_label": single_label,
        "binary": binary,
        "multi_label": multi_label,
        "regression": regression,
    }
    return [describe[task](row) for row in predictions]


def output_names(model: keras.Model) -> list[str]:
    """The names of a model's classes or targets; numbers where it has none."""
    info = model_info(model)
    if info is not None and info.class_names:
        return list(info.class_names)
    return [str(number) for number in range(2 if task_of(model) == "binary" else model.output_shape[-1])]


def tune_thresholds(model: keras.Model, data: ImageData, *, predictions: np.ndarray | None = None) -> dict[str, float]:
    """Choose for each class the probability from which on it counts as an answer, and note it in the model.

    The threshold with the highest F1 on the validation part is taken, in the middle between two probabilities that
    occur there; among equals the one nearest to 0.5. A class without a positive image there keeps 0.5. The test part
    is never looked at. On a small validation part the choice is uncertain, and what `kertl.evaluate` says of that part
    afterwards is too good.

    `kertl.answers` and `kertl.evaluate` go by these thresholds, and `kertl.save` keeps them. `kertl.fine_tune` calls
    this at its end.

    Args:
        model: A model for "binary" or "multi_label".
        data: The data that it was trained on, with a validation part.
        predictions: What `kertl.predict` gives for that part, where it has been asked already.

    Returns:
        The threshold of each class by name; for "binary" that of the second class alone.

    Raises:
        ValueError: If the task has no thresholds, model and data do not go together, or there is no validation part.

    Reference:
        Lipton, Elkan & Naryanaswamy, "Optimal Thresholding of Classifiers to Maximize F1 Measure", 2014.
        https://arxiv.org/abs/1402.1892
    """
    task = task_of(model)
    if not task_named(task).has_thresholds:
        raise complain("model", "for 'binary' or 'multi_label', which have thresholds", model, f"Its task is {task!r}.")
    if data.validation is None:
        raise complain("data", "data with a validation part, which the thresholds are chosen on", data)
    truth = _labels(model, data.validation)
    probabilities = predict(model, data.validation) if predictions is None else predictions
    chosen = [_best_threshold(truth[:, k] > 0, probabilities[:, k]) for k in range(truth.shape[1])]
    info = model_info(model) or ModelInfo(task, tuple(data.class_names), model.name, "")
    set_model_info(model, dataclasses.replace(info, thresholds=tuple(chosen)))
    return _by_name(task, data.class_names, chosen)


def evaluate(
    model: keras.Model,
    dataset: ImageDataset,
    *,
    predictions: np.ndarray | None = None,
    views: int = 0,
    augment: str | Sequence[Any] = "light",
    seed: int = 0,
) -> dict[str, Any]:
    """How well a model does on a part of the data.

    Args:
        model: A model whose task is that of the data, shape `(batch, outputs)`.
        dataset: A labelled part of `kertl.data`.
        predictions: What `kertl.predict` gives for it, where it has been asked already.
        views: As in `kertl.predict`.
        augment: As in `kertl.predict`.
        seed: As in `kertl.predict`.

    Returns:
        Always `images` (count). Means over the classes leave out those that have no image in the part; a figure that
        is undefined there is None.

        For "single_label": `accuracy`, `balanced_accuracy` (mean recall over the classes), `macro_f1`, `crossentropy`
        (mean, in nats), `majority` (share of the largest class, which is what answering it always would score),
        `classes` (precision, recall and count by name), and `confusion` (rows: truth, columns: answer). For "binary"
        also `f1` (of the second class), `auc` and `thresholds`.

        For "multi_label": `exact` (share of images with all labels right), `accuracy` (share of the single yes-or-no
        answers that are right), `micro_f1`, `macro_f1`, `auc` and `average_precision` (means over the classes),
        `crossentropy`, `thresholds`, and `classes` (precision, recall, f1, auc, average_precision and count by name).

        For "regression": `mae`, `rmse`, `r2` (means over the targets; 0 is what answering the mean of the part would
        score) and `targets` (the three by name).

    Raises:
        ValueError: If the task is another, the model has another number of outputs than the data has classes, or there
            are no labels.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> pictures = np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 4, validation=0, test=0)
        >>> sorted(kertl.evaluate(model, data.train))[:3]
        ['accuracy', 'balanced_accuracy', 'classes']
    """
    truth = _labels(model, dataset)
    if predictions is None:
        predictions = predict(model, dataset, views=views, augment=augment, seed=seed)
    names = list(dataset.class_names)
    if dataset.task == "regression":
        return _judge_regression(truth, predictions, names)
    if dataset.task == "single_label":
        return _judge_classes(truth, predictions, predictions.argmax(axis=1), names)
    thresholds = _thresholds(model, predictions.shape[1])
    named = {"thresholds": _by_name(dataset.task, names, thresholds)}
    if dataset.task == "multi_label":
        return {**_judge_labels(truth, predictions, predictions >= thresholds, names), **named}
    positive, truth = predictions[:, 0], truth[:, 0].astype(int)
    guesses = (positive >= thresholds[0]).astype(int)
    return {
        **_judge_classes(truth, np.stack([1 - positive, positive], axis=1), guesses, names),
        "f1": float(metrics.f1_score(truth, guesses, zero_division=0)),
        "auc": _defined(metrics.roc_auc_score, truth, positive),
        **named,
    }


def _labels(model: keras.Model, dataset: ImageDataset) -> np.ndarray:
    """The labels of a dataset that goes with a model."""
    if dataset.labels is None:
        raise complain("dataset", "a part of the data that has labels", dataset)
    outputs = task_named(dataset.task).outputs(len(dataset.class_names))
    what = {"regression": "target", "binary": "two classes"}.get(dataset.task, "class")
    if model.output_shape[-1] != outputs:
        of = "" if dataset.task == "binary" else " of the data"
        raise ValueError(
            f"`model` must have one output per {what}{of}, {outputs}. "
            f"Received: {model.name!r} with {model.output_shape[-1]} outputs."
        )
    info = model_info(model)
    if info is not None and info.task != dataset.task:
        raise ValueError(
            f"`model` must be for the task of the data, {dataset.task!r}. Received: {model.name!r} for {info.task!r}."
        )
    return np.asarray(dataset.labels)


def _judge_classes(truth: np.ndarray, probabilities: np.ndarray, guesses: np.ndarray, names: list[str]) -> Any:
    ids = list(range(len(names)))
    precision, recall, f1, count = metrics.precision_recall_fscore_support(truth, guesses, labels=ids, zero_division=0)
    seen = count > 0
    likelihood = np.clip(probabilities[np.arange(len(truth)), truth], _LEAST, 1)
    return {
        "images": len(truth),
        "accuracy": float(np.mean(guesses == truth)),
        "balanced_accuracy": float(recall[seen].mean()),
        "macro_f1": float(f1[seen].mean()),
        "crossentropy": float(-np.log(likelihood).mean()),
        "majority": float(count.max() / len(truth)),
        "classes": {
            name: {"precision": float(precision[i]), "recall": float(recall[i]), "images": int(count[i])}
            for i, name in enumerate(names)
        },
        "confusion": metrics.confusion_matrix(truth, guesses, labels=ids).tolist(),
    }


def _judge_labels(truth: np.ndarray, probabilities: np.ndarray, guesses: np.ndarray, names: list[str]) -> Any:
    truth = truth > 0
    classes: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(names):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth[:, k], guesses[:, k], average="binary", zero_division=0
        )
        classes[name] = {
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "auc": _defined(metrics.roc_auc_score, truth[:, k], probabilities[:, k]),
            "average_precision": _defined(metrics.average_precision_score, truth[:, k], probabilities[:, k]),
            "images": int(truth[:, k].sum()),
        }
    likelihood = np.clip(np.where(truth, probabilities, 1 - probabilities), _LEAST, 1)

    seen = [row for row in classes.values() if row["images"]]
    return {
        "images": len(truth),
        "exact": float((guesses == truth).all(axis=1).mean()),
        "accuracy": float((guesses == truth).mean()),
        "micro_f1": float(metrics.f1_score(truth.ravel(), guesses.ravel(), zero_division=0)),
        "macro_f1": _mean(row["f1"] for row in seen),
        "auc": _mean(row["auc"] for row in seen),
        "average_precision": _mean(row["average_precision"] for row in seen),
        "crossentropy": float(-np.log(likelihood).mean()),
        "classes": classes,
    }


def _judge_regression(truth: np.ndarray, predictions: np.ndarray, names: list[str]) -> dict[str, Any]:
    truth, predictions = truth.astype(np.float64), predictions.astype(np.float64)
    errors, spread = predictions - truth, ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    targets = {
        name: {
            "mae": float(np.abs(errors[:, k]).mean()),
            "rmse": float(np.sqrt((errors[:, k] ** 2).mean())),
            "r2": float(1 - (errors[:, k] ** 2).sum() / spread[k]) if spread[k] > 0 else None,
        }
        for k, name in enumerate(names)
    }
    means = {figure: _mean(row[figure] for row in targets.values()) for figure in ("mae", "rmse", "r2")}
    return {"images": len(truth), **means, "targets": targets}


def _defined(score: Callable[..., float], truth: np.ndarray, probabilities: np.ndarray) -> float | None:
    """A score of a ranking, where there are positive and negative images; else None."""
    return float(score(truth, probabilities)) if 0 < np.sum(truth) < len(truth) else None


def _mean(figures: Iterable[float | None]) -> float | None:
    """The mean of those that are defined; None if none is."""
    values = [figure for figure in figures if figure is not None]
    return float(np.mean(values)) if values else None


def _best_threshold(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """The threshold with the highest F1, `2 tp / (2 tp + fp + fn)`; 0.5 where nothing is positive."""
    if not truth.any():
        return DEFAULT_THRESHOLD
    levels, places = np.unique(probabilities.astype(np.float64), return_inverse=True)
    middles = (np.concatenate([[0.0], levels[:-1]]) + levels) / 2
    answered = np.bincount(places)[::-1].cumsum()[::-1]
    hits = np.bincount(places, weights=truth)[::-1].cumsum()[::-1]
    f1 = 2 * hits / (answered + truth.sum())
    best = middles[f1 == f1.max()]
    return float(best[np.abs(best - DEFAULT_THRESHOLD).argmin()])


def _thresholds(model: keras.Model, outputs: int) -> np.ndarray:
    info = model_info(model)
    return np.array(info.thresholds if info is not None and info.thresholds else [DEFAULT_THRESHOLD] * outputs)


def _by_name(task: str, names: Sequence[str], thresholds: Sequence[float] | np.ndarray) -> dict[str, float]:
    """Thresholds by class; that of a yes-or-no question belongs to its second class."""
    shown = names[1:] if task == "binary" else names
    return dict(zip(shown, map(float, thresholds), strict=True))

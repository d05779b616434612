"""What predictions for held examples look like in TensorBoard."""

from typing import Any

import numpy as np

from kertl._events import EventFile, precision_recall
from kertl.callbacks._held import HeldExamples
from kertl.callbacks._pictures import RIGHT, WRONG, confusion_picture, encoded, grid, roc_picture
from kertl.tasks import Task

SHOWN = 16
"""Pictures that are shown with what was predicted for them, and classes whose curves are drawn."""


def write_predictions(
    file: EventFile, held: HeldExamples, predictions: np.ndarray, step: int, prefix: str = ""
) -> None:
    """Write pictures with their predictions, the confusion matrix, and curves.

    Args:
        file: Where to write.
        held: The examples.
        predictions: The model's, shape `(examples, outputs)`.
        step: When they were made.
        prefix: What the tags begin with.
    """
    predictions = np.asarray(predictions)
    task = held.task_for(predictions)
    names = held.names_for(task, predictions.shape[-1])
    y = np.asarray(held.y)
    if task.name == "single_label" and y.shape == predictions.shape:
        y = y.argmax(axis=1)
    pictures = _as_pictures(held.x) if held.pictures is None else held.pictures[:SHOWN]
    if pictures is not None:
        _write_pictures(file, pictures, y, predictions, task, names, step, prefix)
    if task.output_of != "class":
        return
    truth = task.members(y, len(names))
    assert truth is not None
    if task.one_class:
        guesses = predictions.argmax(axis=1) if predictions.shape[1] > 1 else (predictions[:, 0] >= 0.5).astype(int)
        counts = np.zeros((len(names), len(names)), int)
        np.add.at(counts, (truth.argmax(axis=1), guesses), 1)
        file.picture(
            f"{prefix}confusion",
            *encoded(confusion_picture(counts, names)),
            step,
            f"{len(y)} examples; rows are the truth",
        )
    if float(predictions.min()) >= 0 and float(predictions.max()) <= 1:  # else they are scores
        if task.name == "binary":
            truth, names = truth[:, 1:], names[1:]
        _write_curves(file, truth, predictions, names, step, prefix)


def _as_pictures(x: Any) -> np.ndarray | None:
    """What a model takes as pictures of 0..255, if that is what it takes; other ranges are stretched to this one."""
    if not isinstance(x, np.ndarray) or x.ndim != 4 or x.shape[-1] not in (1, 3, 4):
        return None
    lowest, highest = float(x.min()), float(x.max())
    if lowest >= 0 and 1 < highest <= 255:
        return x[:SHOWN]
    return (x[:SHOWN].astype(np.float32) - lowest) / max(highest - lowest, 1e-6) * 255


def _write_curves(
    file: EventFile, truth: np.ndarray, predictions: np.ndarray, names: list[str], step: int, prefix: str
) -> None:
    """Curves of the classes that some examples have and others have not, of at most 16 of them."""
    from sklearn.metrics import roc_auc_score, roc_curve

    both = np.flatnonzero(truth.any(axis=0) & ~truth.all(axis=0))[:SHOWN]
    curves = {}
    for place in both:
        file.precision_recall(f"{prefix}precision_recall/{names[place]}", _counts(truth, predictions, place), step)
        wrong, right, _ = roc_curve(truth[:, place], predictions[:, place])
        curves[names[place]] = (wrong, right, float(roc_auc_score(truth[:, place], predictions[:, place])))
    if curves:
        file.picture(
            f"{prefix}roc", *encoded(roc_picture(curves)), step, "receiver operating characteristic, each against rest"
        )


def _counts(truth: np.ndarray, predictions: np.ndarray, place: int) -> np.ndarray:
    return precision_recall(truth[:, place], predictions[:, place])


def _write_pictures(
    file: EventFile,
    pictures: np.ndarray,
    y: np.ndarray,
    predictions: np.ndarray,
    task: Task,
    names: list[str],
    step: int,
    prefix: str,
) -> None:
    captions, colours = [], []
    for label, row in zip(y[: len(pictures)], predictions, strict=False):
        caption, right = _words(task, label, row, names)
        captions.append(caption)
        colours.append(RIGHT if right else WRONG)
    picture = encoded(grid(pictures, captions, colours), "JPEG")
    file.picture(f"{prefix}predictions", *picture, step, "truth → prediction; red where they differ")


def _words(task: Task, label: np.ndarray, row: np.ndarray, names: list[str]) -> tuple[str, bool]:
    """Truth and prediction in a line or two, and whether the prediction is right; a number is always right."""
    if task.output_of != "class":
        numbers = zip(np.ravel(label), row, strict=True)
        return ", ".join(f"{true:.4g} → {told:.4g}" for true, told in numbers), True
    if not task.one_class:
        sets = [", ".join(name for name, yes in zip(names, found, strict=True) if yes) for found in (label, row >= 0.5)]
        return "\n→ ".join(one or "none" for one in sets), sets[0] == sets[1]
    chances = row if len(row) > 1 else np.array([1 - row[0], row[0]])
    guess, true = int(chances.argmax()), int(np.ravel(label)[0])
    told = f"{names[guess]} {chances[guess]:.2f}"
    return (told, True) if guess == true else (f"{names[true]}\n→ {told}", False)

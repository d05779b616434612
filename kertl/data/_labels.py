"""What labels are in each task: how a table holds them, and the arrays that `fit` is given.

In between, every image has one text, which `data.csv` holds: the name of its class, the names of its classes joined by
the separator, or its targets joined by it.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kertl import _checks
from kertl.data._scan import natural
from kertl.data._spelling import is_missing, listed, near_twin
from kertl.errors import ArgumentError, DataError
from kertl.tasks import task_named

SEPARATOR = ";"
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


def of_numbers(task: str) -> bool:
    """Whether the labels of a task are numbers and not classes."""
    return task_named(task).output_of == "target"


@dataclasses.dataclass(frozen=True)
class Labelling:
    """How the texts of a data set become labels."""

    task: str
    """"single_label", "binary", "multi_label" or "regression"."""
    class_names: tuple[str, ...]
    """The classes in the order of their ids, or the targets in the order of the outputs."""
    separator: str = SEPARATOR
    """The text between the classes or targets of one image."""

    def __post_init__(self) -> None:
        if not self.class_names:
            raise DataError("No image has a label. Received: labels that are blank in every row.", code="labels")
        if self.task == "binary" and len(self.class_names) != 2:
            raise DataError(
                f"Binary data must have exactly two classes. Received: {len(self.class_names)}, "
                f"{list(self.class_names)}. Pass task='single_label' for one class of several.",
                code="labels",
            )
        torn = [name for name in self.class_names if self.task == "multi_label" and self.classes(name) != (name,)]
        if torn:
            raise DataError(
                f"No class may have the separator {self.separator!r} in its name, which would read as two, nor blanks "
                f"at its ends, which do not count between separators. Received: {torn[0]!r}.",
                code="labels",
            )

    def classes(self, text: str) -> tuple[str, ...]:
        """The classes of an image; none where labels are numbers."""
        if of_numbers(self.task):
            return ()
        return names_in(text, self.separator) if self.task == "multi_label" else (text,)

    def array(self, texts: Sequence[str]) -> np.ndarray:
        """The labels of some images.

        `int32` ids of shape `(n,)` for a single label, else `float32` of the shape of a model's predictions: 0 or 1 of
        shape `(n, 1)` for two classes, 0 or 1 of shape `(n, classes)`, or the targets, of shape `(n, targets)`.
        """
        if of_numbers(self.task):
            return np.array([[float(part) for part in text.split(self.separator)] for text in texts], np.float32)
        ids = {name: number for number, name in enumerate(self.class_names)}
        if self.task == "multi_label":
            labels = np.zeros((len(texts), len(ids)), np.float32)
            for row, text in enumerate(texts):
                labels[row, [ids[name] for name in self.classes(text)]] = 1
            return labels
        chosen = np.array([ids[text] for text in texts], np.int32)
        return chosen if self.task == "single_label" else chosen.astype(np.float32)[:, None]


@dataclasses.dataclass(frozen=True)
class LabelColumns:
    """Which columns of a table hold the labels, and how they are read."""

    task: str
    columns: tuple[str, ...]
    separator: str | None
    named: tuple[str, ...] = ()
    """The classes that were asked for; none if none were."""
    as_it_is: bool = False
    """Whether every text is a label, since kertl wrote the table."""

    def __post_init__(self) -> None:
        several = len(self.columns) > 1
        if not self.columns or not all(isinstance(column, str) for column in self.columns):
            raise _checks.complain("label_column", "the name of a column, or a list of names", list(self.columns))
        if several and self.task in ("single_label", "binary"):
            accepted = f"the name of one column for task={self.task!r}"
            raise _checks.complain("label_column", accepted, list(self.columns), "Pass task='multi_label' for several.")
        if self.separator is None and self.task == "multi_label" and not several:
            raise ArgumentError(
                f"`separator` must be given where one column holds several labels. Received: separator=None. "
                f"Pass the text between the names in {self.columns[0]!r}, such as separator=';', "
                f"or a list of columns of 0 and 1 as `label_column`.",
                code="labels",
            )
        useless = several or self.task in ("single_label", "binary")
        if self.separator is not None and (useless or not self.separator or self.separator in "0123456789.+-eE"):
            accepted = "None" if useless else "the text between labels, which is no part of a number"
            raise _checks.complain("separator", accepted, self.separator, "It separates the labels in a single column.")

    def text(self, row: Mapping[str, str], place: str) -> str | None:
        """The label of a row as `Labelling` reads it; None where it is missing.

        Args:
            row: The values by column.
            place: Where the row is, for messages.

        Raises:
            DataError: If a value is not a label.
        """
        if self.task in ("single_label", "binary"):
            name = row[self.columns[0]]
            return (name or None) if self.as_it_is else self._name(name, place)
        if self.task == "multi_label":
            return self._names(row, place)
        texts = [row[column] for column in self.columns]
        if any(is_missing(text, self.named) for text in texts):
            return None
        if self.separator is not None:
            texts = texts[0].split(self.separator)
        columns = self.columns if self.separator is None else self.columns * len(texts)
        numbers = [number_text(text, column, place) for text, column in zip(texts, columns, strict=True)]
        return (self.separator or SEPARATOR).join(numbers)

    def _name(self, text: str, place: str) -> str | None:
        if is_missing(text, self.named):
            return None
        if text not in self.named and listed(text) is not None:
            raise DataError(
                f"{place}: column {self.columns[0]!r} must hold one class. Received: {text!r}, a list. "
                "Pass task='multi_label' and a separator for several.",
                code="labels",
            )
        return text

    def _names(self, row: Mapping[str, str], place: str) -> str | None:
        if self.separator is not None:
            text = row[self.columns[0]]
            found = None if self.as_it_is else listed(text)
            if text and found is None and not self.as_it_is and is_missing(text, self.named):
                return None
            return self.separator.join(names_in(text if found is None else self.separator.join(found), self.separator))
        for column in self.columns:
            if row[column].lower() not in _FLAGS:
                raise DataError(f"{place}: column {column!r} must be 0 or 1. Received: {row[column]!r}.", code="labels")
        return SEPARATOR.join(sorted((c for c in self.columns if _FLAGS[row[c].lower()]), key=natural))

    def parts(self, text: str) -> tuple[str, ...]:
        """The names in a label as `text` gives it."""
        return names_in(text, self.separator) if self.task == "multi_label" and self.separator else (text,)

    def joined(self, names: Iterable[str]) -> str:
        """Names as one label, each once."""
        return (self.separator or SEPARATOR).join(sorted(set(names), key=natural))

    def labelling(self, texts: Iterable[str], class_names: Sequence[str] | None) -> Labelling:
        """How the texts of this table become labels; its classes are in natural order or in the given order."""
        separator = self.separator or SEPARATOR
        if of_numbers(self.task):
            widths = sorted({len(text.split(separator)) for text in texts})
            if len(widths) != 1:
                raise DataError(
                    f"Column {self.columns[0]!r} must hold equally many targets in every row: {widths}.", code="labels"
                )
            return Labelling(self.task, _target_names(self.columns, widths[0], class_names), separator)
        if self.task == "multi_label":
            held = {name for text in texts for name in names_in(text, separator)}
            found = held if self.separator is not None else set(self.columns)
        else:
            found = set(texts)
        return Labelling(self.task, tuple(class_order(found, class_names)), separator)


def renumbered(
    labels: np.ndarray | None, task: str, own: Sequence[str], wanted: str, names: Sequence[str]
) -> np.ndarray:
    """Labels in the form of another task and for another list of classes, which are matched by name.

    Args:
        labels: Labels, or None.
        task: Their task.
        own: Their classes or targets.
        wanted: The task wanted; images of one class each also go with "binary".
        names: The classes or targets wanted; there may be more classes than the labels have.

    Raises:
        DataError: If there are no labels, they are of another task, one of their classes is not among those wanted, or
            they lack a target.
    """
    given, goal = task_named(task), task_named(wanted)
    if labels is None or not (goal is given or (goal.one_class and given.one_class)):
        raise DataError(
            f"The labels of the images must be for task {wanted!r}. "
            f"Received: {'no labels' if labels is None else repr(task)}.",
            code="labels",
        )
    strange = [name for name in own if name not in names]
    lacking = [name for name in names if name not in own] if goal.needs_every_name else []
    if strange or lacking:
        advice = near_twin(strange[0], names) if strange else near_twin(lacking[0], own)
        raise DataError(
            f"The {goal.outputs_of} of the images must be {'all of' if lacking else 'among'} {list(names)}. "
            f"Received: {strange or list(own)}. {advice}".rstrip(),
            code="labels",
        )
    places = np.array([list(names).index(name) for name in own], np.int32)
    return goal.placed(labels, places, len(names))


def names_in(text: str, separator: str) -> tuple[str, ...]:
    """The names between separators, each once, in natural order; blank ones are ignored."""
    return tuple(sorted({name.strip() for name in text.split(separator)} - {""}, key=natural))


def class_order(found: Iterable[str], given: Sequence[str] | None) -> list[str]:
    """The classes found, in natural order, or in the given order, which has to name all of them.

    Raises:
        DataError: If the given names are not all different, or one is missing.
    """
    names = sorted(set(found), key=natural)
    if given is None:
        return names
    lacking = [name for name in names if name not in given]
    if len(set(given)) < len(given) or lacking:
        advice = f"The data also have {lacking[0]!r}. {near_twin(lacking[0], given)}" if lacking else ""
        raise DataError(
            str(_checks.complain("class_names", "all the classes, each once", given, advice.strip())), code="labels"
        )
    return list(given)


def number_text(value: Any, column: str, place: str) -> str:
    """A target as the shortest text that reads as the same float32.

    Raises:
        DataError: If it is not a finite number.
    """
    try:
        # Python reads "1_000" as a number; a table that says so means something else.
        number = math.nan if "_" in str(value) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    with np.errstate(over="ignore"):
        single = np.float32(number)
    if not np.isfinite(single):
        raise DataError(f"{place}: column {column!r} must be a finite number. Received: {value!r}.", code="labels")
    return str(single)


def _target_names(columns: Sequence[str], width: int, given: Sequence[str] | None) -> tuple[str, ...]:
    """What the targets are called: as given, else as their columns, numbered where one column holds several."""
    if given is None:
        return tuple(columns) if len(columns) == width else tuple(f"{columns[0]} {k + 1}" for k in range(width))
    if len(columns) > 1:
        raise _checks.complain("class_names", "left out where the columns name the targets", given)
    if isinstance(given, str) or len(set(given)) < len(given) or len(given) != width:
        raise _checks.complain("class_names", f"{width} different names, one per target", given)
    return tuple(given)

"""Reading a table of images and labels: every row is used, or listed with the reason why not."""

import csv
import dataclasses
import logging
import posixpath
import sys
from collections.abc import Iterator
from pathlib import Path

from kertl import _checks
from kertl._places import Places
from kertl.data._assemble import Entry
from kertl.data._image_data import Record
from kertl.data._issues import Issue
from kertl.data._labels import LabelColumns, of_numbers
from kertl.data._spelling import spellings
from kertl.data._split import FOR_NUMBERS, PARTS, is_number
from kertl.errors import DataError

# What `ImageData.write_csv` writes, and is read as it is.
OWN_COLUMNS = [field.name for field in dataclasses.fields(Record)]

_MANY, _FEW_EACH = 12, 10  # classes that are often numbered, and images that each of more of them has
_logger = logging.getLogger(__name__)
_LABELS = 10_000  # that are remembered, so that equal ones are read once


def read_table(
    path: Path,
    image_column: str,
    labels: LabelColumns,
    stratify_columns: tuple[str, ...],
    group_column: str | None,
    split_column: str | None,
    places: Places,
    issues: list[Issue],
) -> list[Entry]:
    """The rows of a CSV file; those without file or label, or that contradict another, are added to `issues`."""
    rows = _rows(path)
    _, header = next(rows, (1, {}))
    present = list(header)
    _refuse_missing(path, (image_column, *labels.columns, *stratify_columns, group_column, split_column), present)
    labels = dataclasses.replace(labels, as_it_is=present == OWN_COLUMNS)
    entries: dict[str, tuple[int, Entry]] = {}
    contradicted = set()
    texts: dict[tuple[str, ...], str | None] = {}
    for number, row in rows:
        file = row[image_column]
        cells = tuple(row[column] for column in labels.columns)
        if cells not in texts:
            if len(texts) == _LABELS:
                texts.clear()
            texts[cells] = labels.text(row, f"Row {number} of {str(path)!r} ({file!r})")
        label = texts[cells]
        split = row[split_column] if split_column else ""
        if split not in ("", *PARTS):
            raise DataError(
                f"Row {number} of {str(path)!r}: column {split_column!r} must be 'train', 'validation', 'test' or "
                f"blank. Received: {split!r}. {_checks.nearest(split, PARTS)}".rstrip(),
                code="table",
            )
        if not file or label is None:
            issues.append(Issue(file, f"has no {'label' if file else 'file name'} in row {number}"))
            continue
        if "\0" in file:
            issues.append(Issue(file, f"has a null character in row {number}, as no file name has"))
            continue
        stratum = tuple(row[column] for column in stratify_columns)
        group = row[group_column] if group_column else ""
        entry = Entry(file, sys.intern(label), split=sys.intern(split), stratum=stratum, group=sys.intern(group))
        key = places.key(file)
        first, known = entries.setdefault(key, (number, entry))
        if first == number:
            continue
        spelled = "" if file == known.file else f", there as {known.file!r}"
        if dataclasses.replace(known, file=file) != entry:
            contradicted.add(key)
            issues.append(Issue(file, f"is described differently in rows {first} and {number}{spelled}"))
        else:
            again = f"is in row {first} and again in row {number}{spelled}; it counts once"
            issues.append(Issue(file, again, left_out=False))
    found = [entry for key, (_, entry) in entries.items() if key not in contradicted]
    if labels.task in ("single_label", "binary"):
        _tell_quantities(path.name, [one.label for one in found])
    return found if labels.as_it_is else _spelled_alike(found, labels, path.name, issues)


def _refuse_missing(path: Path, columns: tuple[str | None, ...], present: list[str]) -> None:
    for column in columns:
        if column is not None and not _checks.among(column, present):
            advice = _checks.nearest(column, present)
            raise DataError(
                f"{str(path)!r} has no column {column!r}. Its columns are {present}. {advice}".rstrip(), code="table"
            )


def _spelled_alike(entries: list[Entry], labels: LabelColumns, table: str, issues: list[Issue]) -> list[Entry]:
    """The entries with one name for labels that are the same class."""
    if of_numbers(labels.task) or len(labels.columns) > 1:
        return entries
    parts = {entry.label: labels.parts(entry.label) for entry in entries}
    names, said = spellings((name for each in parts.values() for name in each), labels.named)
    issues += [Issue(table, text, left_out=False) for text in said]
    renamed = {label: labels.joined(names[name] for name in each) for label, each in parts.items()}
    return [
        entry if renamed[entry.label] == entry.label else dataclasses.replace(entry, label=renamed[entry.label])
        for entry in entries
    ]


def _tell_quantities(table: str, labels: list[str]) -> None:
    """Log if classes are so many numbers, with so few images each, that they are probably amounts of something."""
    names = set(labels)
    few = len(labels) < _FEW_EACH * len(names) or any("." in name for name in names)
    if len(names) > _MANY and few and all(map(is_number, names)):
        _logger.warning("%r has %d different numbers as labels, each a class. %s", table, len(names), FOR_NUMBERS)


def files_named(path: Path, image_column: str) -> list[str]:
    """The files in a column of a table, relative to its root, each once; none if there is no such column."""
    named = (row.get(image_column, "") for _, row in _rows(path))
    return list(dict.fromkeys(posixpath.normpath(name) for name in named if name))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The header and the rows of a CSV file, numbered from 1, each as a dictionary of its columns.

    All values but those of kertl's own tables are stripped; blank rows are passed over.
    """
    header: list[str] | None = None
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            for number, cells in enumerate(csv.reader(file, delimiter=delimiter), start=1):
                own = (cells if header is None else header) == OWN_COLUMNS
                row = cells if own else [cell.strip() for cell in cells]
                if header is None:
                    header = row
                    if len(set(header)) < len(header):
                        raise DataError(
                            f"The table {str(path)!r} has several columns of one name. Its columns are {header}.",
                            code="table",
                        )
                if row and len(row) != len(header):
                    raise DataError(
                        f"Row {number} of {str(path)!r} has {len(row)} values, but the header has {len(header)} "
                        "columns.",
                        code="table",
                    )
                if row:
                    yield number, dict(zip(header, row, strict=True))
    except OSError as error:
        raise DataError(f"The table {str(path)!r} cannot be opened: {error.strerror}.", code="table") from error
    except UnicodeDecodeError as error:
        raise DataError(f"The table {str(path)!r} is not in UTF-8. Save it as CSV UTF-8.", code="table") from error
    except csv.Error as error:
        raise DataError(f"The table {str(path)!r} is not a CSV file: {error}.", code="table") from error

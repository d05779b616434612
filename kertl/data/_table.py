"""Reading a table of images and labels: every row is used, or listed with the reason why not."""

import csv
import dataclasses
from pathlib import Path

from kertl import _checks
from kertl.data._assemble import Entry
from kertl.data._image_data import Record
from kertl.data._issues import Issue
from kertl.data._labels import LabelColumns
from kertl.data._spelling import spellings
from kertl.data._split import PARTS
from kertl.errors import DataError

# What `ImageData.write_csv` writes, and is read as it is.
OWN_COLUMNS = [field.name for field in dataclasses.fields(Record)]


def read_table(
    path: Path,
    image_column: str,
    labels: LabelColumns,
    stratify_columns: tuple[str, ...],
    group_column: str | None,
    split_column: str | None,
    issues: list[Issue],
) -> list[Entry]:
    """The rows of a CSV file; those without file or label, or that contradict another, are added to `issues`."""
    rows = _rows(path)
    present = list(rows[0]) if rows else []
    for column in (image_column, *labels.columns, *stratify_columns, group_column, split_column):
        if column is not None and column not in present:
            advice = _checks.nearest(column, present)
            raise DataError(f"{str(path)!r} has no column {column!r}. Its columns are {present}. {advice}".rstrip())
    labels = dataclasses.replace(labels, as_it_is=present == OWN_COLUMNS)
    entries: dict[str, tuple[int, Entry]] = {}
    contradicted = set()
    for number, row in enumerate(rows[1:], start=2):
        file = row[image_column]
        label = labels.text(row, f"Row {number} of {str(path)!r} ({file!r})")
        split = row[split_column] if split_column else ""
        if split not in ("", *PARTS):
            raise DataError(
                f"Row {number} of {str(path)!r}: column {split_column!r} must be 'train', 'validation', 'test' or "
                f"blank. Received: {split!r}. {_checks.nearest(split, PARTS)}".rstrip()
            )
        if not file or label is None:
            issues.append(Issue(file, f"has no {'label' if file else 'file name'} in row {number}"))
            continue
        stratum = tuple(row[column] for column in stratify_columns)
        entry = Entry(file, label, split=split, stratum=stratum, group=row[group_column] if group_column else "")
        first, known = entries.setdefault(file, (number, entry))
        if known != entry:
            contradicted.add(file)
            issues.append(Issue(file, f"is described differently in rows {first} and {number}"))
        elif first != number:
            issues.append(Issue(file, f"is in row {first} and again in row {number}; it counts once", left_out=False))
    found = [entry for file, (_, entry) in entries.items() if file not in contradicted]
    return found if labels.as_it_is else _spelled_alike(found, labels, path.name, issues)


def _spelled_alike(entries: list[Entry], labels: LabelColumns, table: str, issues: list[Issue]) -> list[Entry]:
    """The entries with one name for labels that are the same class."""
    if labels.task == "regression" or len(labels.columns) > 1:
        return entries
    parts = {entry.label: labels.parts(entry.label) for entry in entries}
    names, said = spellings((name for each in parts.values() for name in each), labels.named)
    issues += [Issue(table, text, left_out=False) for text in said]
    renamed = {label: labels.joined(names[name] for name in each) for label, each in parts.items()}
    return [dataclasses.replace(entry, label=renamed[entry.label]) for entry in entries]


def _rows(path: Path) -> list[dict[str, str]]:
    """The header and the rows of a CSV file, each as a dictionary of its columns; all but kertl's own are stripped."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            delimiter = max(",;\t", key=file.readline().count)
            file.seek(0)
            table = list(csv.reader(file, delimiter=delimiter))
        if not table or table[0] != OWN_COLUMNS:
            table = [[cell.strip() for cell in row] for row in table]
    except OSError as error:
        raise DataError(f"The table {str(path)!r} cannot be opened: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"The table {str(path)!r} is not in UTF-8. Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"The table {str(path)!r} is not a CSV file: {error}.") from error
    header = table[0] if table else []
    if len(set(header)) < len(header):
        raise DataError(f"The table {str(path)!r} has several columns of one name. Its columns are {header}.")
    for number, row in enumerate(table, start=1):
        if row and len(row) != len(header):
            raise DataError(
                f"Row {number} of {str(path)!r} has {len(row)} values, but the header has {len(header)} columns."
            )
    return [dict(zip(header, row, strict=True)) for row in table if row]

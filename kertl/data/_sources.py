"""Where labelled images come from: a folder per class, a table, or arrays."""

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kertl import _checks
from kertl._checks import complain
from kertl._places import Places, is_address, none_usable
from kertl.data._array_files import refuse_other_channels
from kertl.data._array_labels import read_labels
from kertl.data._assemble import Entry, Options, assemble
from kertl.data._elsewhere import Copy
from kertl.data._image_data import ImageData
from kertl.data._issues import Issue
from kertl.data._kept import room_for
from kertl.data._kinds import IMAGE_SUFFIXES
from kertl.data._labels import LabelColumns, Labelling, class_order
from kertl.data._links import Owners
from kertl.data._oddities import oddities
from kertl.data._pixels import array_images
from kertl.data._readers import ArrayReader, FileReader, KnownFile, aligned_rows, fit_by, resized
from kertl.data._scan import beginning, inspect, is_hidden, relative, walk
from kertl.data._spelling import differ_in_case
from kertl.data._table import files_named, read_table
from kertl.errors import DataError
from kertl.tasks import task_named

if TYPE_CHECKING:
    import numpy.typing as npt

_GIVEN = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}


def from_directory(
    directory: str | Path,
    *,
    task: str = "single_label",
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] = (224, 224),
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    batch_size: int = 32,
    resize: str = "stretch",
    channels: int = 3,
    cache: str | None = None,
    strict: bool = False,
    check_again: bool = False,
) -> ImageData:
    """Images in one folder per class: `directory/cat/1.jpg`, `directory/dog/summer/2.png`, ...

    Every file is decoded once before the split, so that one that cannot be read is found now and not in the middle of
    an epoch; it is left out and listed in `issues`. The split is stratified by class and depends only on the files and
    the seed; files with the same content are never on both sides. Links are followed, but not into the folder of
    another class, nor to a folder around their own, which is listed in `issues`. So are oddities of images that are
    used: a name that does not match the content, several images in a file, an unusual size, the same content in two
    files, a likeness to another image (a resized or re-encoded copy).

    A directory whose folders are `train` and one or both of `validation` (or `val`, `valid`) and `test`, each with a
    folder per class, counts as already split; a missing part is drawn from `train` by its fraction.

    Args:
        directory: The folder that holds the class folders, or its address for fsspec, such as "gs://bucket/photos": its
            files are copied to kertl's cache folder, and later only those that have changed there.
        task: "single_label", or "binary" for two classes and a model whose one output is the probability of the second.
        class_names: All the classes, in the desired order; natural order by default. Of two classes the second is the
            positive one.
        image_size: `(height, width)` every image is resized to; each >= 1.
        validation: Fraction of each class for validation; 0 <= `validation` < 1.
        test: Fraction of each class for the test; 0 <= `test` < 1 - `validation`.
        seed: Seed of the split and of the order of training; >= 0.
        batch_size: Images per batch; >= 1.
        resize: `"stretch"`, `"pad"` or `"crop"`, see `read_image`.
        channels: Channels of the images that the model is given, see `read_image`: 1 for gray, 3 for colour, 4 for
            colour and alpha, any other number for NumPy files; >= 1.
        cache: `"memory"` keeps the resized images in memory after their first use; None reads them again in each epoch.
        strict: Whether any issue is an error, except for a mere likeness.
        check_again: Whether files are decoded that have not changed since an earlier check; by default those whose
            size, times and samples of content are the same count as checked.

    Returns:
        The data set, split.

    Raises:
        DataError: If there are no images, a class has too few for the split, or `strict` and there is an issue.
        ValueError: If an argument is outside the range given above.

    Example:
        >>> import kertl, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name, red in (("day", 200), ("night", 20)):
        ...     (root / name).mkdir()
        ...     for k in range(10):
        ...         Image.new("RGB", (8, 8), (red + k, k, k)).save(root / name / f"{k}.png")
        >>> data = kertl.data.from_directory(root, image_size=(4, 4))
        >>> data.class_names, data.train.num_examples, data.validation.num_examples, data.test.num_examples
        (['day', 'night'], 14, 4, 2)
    """
    options = Options(image_size, validation, test, seed, batch_size, resize, cache, strict, channels, check_again)
    if task_named(task).name not in ("single_label", "binary"):
        advice = "Use `from_csv` or `from_arrays` for the other tasks."
        raise complain("task", "'single_label' or 'binary' for a folder per class", task, advice)
    class_names = _checks.class_names(class_names)
    root = Copy(str(directory), "directory").folder() if is_address(directory) else _checks.path("directory", directory)
    if not root.is_dir():
        raise DataError(
            f"`directory` must be a folder that holds one folder per class. Received: {str(directory)!r}, "
            f"{'a file' if root.exists() else 'which does not exist'}.",
            code="no-images",
        )
    issues: list[Issue] = []
    fractions = options.fractions
    folders = _folders(root, issues)
    parts = {folder: _GIVEN.get(folder.name, "") for folder in folders}
    classes = [("", folders)]
    if "train" in parts.values() and all(parts.values()) and all(map(_has_folders, folders)):
        missing = [part for part in ("validation", "test") if part not in parts.values() and fractions[part] > 0]
        fractions = {part: fractions[part] if part in missing else 0.0 for part in ("validation", "test")}
        fractions["train"] = 1 - sum(fractions.values())
        classes = [
            ("" if part == "train" and missing else part, _folders(folder, issues, root))
            for folder, part in parts.items()
        ]
    found = {folder.name for _, here in classes for folder in here}
    _refuse_unwritable(found)
    owners = Owners(folder for _, here in classes for folder in here)
    entries = [entry for part, here in classes for entry in _entries(here, part, issues, root, owners)]
    if not entries:
        beside = [issue.path for issue in issues if Path(issue.path).suffix.lower() in IMAGE_SUFFIXES]
        there = f"{len(beside)} images, but none in a class folder," if beside and not folders else "No images"
        raise DataError(
            f"{there} in {str(directory)!r}. One folder per class is expected, such as "
            f"{(root / 'cat' / '1.jpg').as_posix()!r} and {(root / 'dog' / '2.jpg').as_posix()!r}."
            + "".join(f" {issue}." for issue in issues[:3]),
            code="no-images",
        )
    issues += [Issue(str(directory), said) for said in differ_in_case(found)]
    labelling = Labelling(task, tuple(class_order(found, class_names)))
    return _from_files(entries, Places(root), issues, options, labelling, fractions)


def from_csv(
    path: str | Path,
    *,
    image_column: str = "file",
    label_column: str | Sequence[str] = "label",
    task: str = "single_label",
    separator: str | None = None,
    class_names: Sequence[str] | None = None,
    stratify_columns: Sequence[str] = (),
    group_column: str | None = None,
    split_column: str | None = None,
    root: str | Path | None = None,
    image_size: tuple[int, int] = (224, 224),
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    batch_size: int = 32,
    resize: str = "stretch",
    channels: int = 3,
    cache: str | None = None,
    strict: bool = False,
    check_again: bool = False,
) -> ImageData:
    r"""Images listed in a CSV file with a header line; the delimiter may be a comma, a semicolon or a tab.

    Args:
        path: The CSV file, in UTF-8, or its address for fsspec.
        image_column: Column of the image files.
        label_column: Column of the classes. Blank labels, `nan`, `NA`, `None` and `null` are missing ones, unless
            `class_names` has that name; `0` and `0.0`, `True` and `TRUE`, and names that look the same are one class,
            which is listed in `issues`. For "multi_label" also several columns of 0 and 1, whose names are the
            classes; for "regression" one or several columns of numbers, whose names are the targets.
        task: "single_label", "binary" (two classes), "multi_label" (any number of classes for each image, none
            included) or "regression".
        separator: For one column with several labels, the text between them: ";" in `cat;dog`. Blank parts are ignored.
        class_names: All the classes, in the desired order; natural order by default. Of two classes the second is the
            positive one. In a regression with one column: the names of the targets.
        stratify_columns: Further columns to stratify by, like the classes.
        group_column: Column that names a group (a patient, a camera), whose images stay in one part; blank means no
            group.
        split_column: Column that says `train`, `validation` or `test`; blank rows are split by the fractions.
        root: The folder that files are relative to, or its address for fsspec, from which the files of the table are
            copied to kertl's cache folder; the CSV file's own by default.
        image_size: As in `from_directory`, like the arguments that follow.
        validation: Fraction for validation.
        test: Fraction for the test.
        seed: Seed of the split and of the order of training.
        batch_size: Images per batch.
        resize: `"stretch"`, `"pad"` or `"crop"`.
        channels: Channels of the images that the model is given.
        cache: `"memory"` or None.
        strict: Whether any issue is an error.
        check_again: Whether files are decoded that have not changed since an earlier check.

    Returns:
        The data set, split.

    Raises:
        DataError: If the file or a column is missing, a label is not what the task needs, a split has another name,
            there are no images, a class has too few for the split, or `strict` and there is an issue.
        ValueError: If an argument is outside its range, or `separator` does not go with task and columns.

    Example:
        >>> import kertl, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for k in range(8):
        ...     Image.new("L", (8, 8), k).save(root / f"{k}.png")
        >>> rows = [f"{k}.png,{'even' if k % 2 == 0 else 'odd'}" for k in range(8)]
        >>> _ = (root / "labels.csv").write_text("\n".join(["file,label", *rows]))
        >>> data = kertl.data.from_csv(root / "labels.csv", test=0, validation=0.25)
        >>> [(record.file, record.label) for record in data.records if record.split == "validation"]
        [('4.png', 'even'), ('5.png', 'odd')]
    """
    options = Options(image_size, validation, test, seed, batch_size, resize, cache, strict, channels, check_again)
    several = (label_column,) if isinstance(label_column, str) else _checks.names("label_column", label_column)
    class_names = _checks.class_names(class_names)
    labels = LabelColumns(task_named(task).name, tuple(several), separator, tuple(class_names or ()))
    strata = tuple(_checks.names("stratify_columns", () if stratify_columns is None else stratify_columns))
    columns = (image_column, labels, strata, group_column, split_column)
    issues: list[Issue] = []
    table = Copy(str(path), "path").file() if is_address(path) else _checks.path("path", path)
    if root is None:
        root = str(path).rpartition("/")[0] if is_address(path) else table.parent
    copied = Copy(str(root), "root").folder(files_named(table, image_column)) if is_address(root) else None
    places = Places(copied or _checks.path("root", root))
    entries = read_table(table, *columns, places, issues)
    if not entries:
        raise DataError(
            f"No images in {str(path)!r}: no row has both a file in column {image_column!r} and a class in column "
            f"{label_column!r}." + "".join(f" {issue}." for issue in issues[:3]),
            code="no-images",
        )
    labelling = labels.labelling([entry.label for entry in entries], class_names)
    return _from_files(entries, places, issues, options, labelling, options.fractions, table=str(path))


def from_arrays(
    x: "npt.ArrayLike",
    y: "npt.ArrayLike",
    *,
    task: str = "single_label",
    validation: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    class_names: Sequence[str] | None = None,
    image_size: tuple[int, int] | None = None,
    batch_size: int = 32,
    resize: str = "stretch",
    value_range: tuple[float, float] | None = None,
    channels: int = 3,
    strict: bool = False,
) -> ImageData:
    """Images that are in memory.

    Args:
        x: Images of shape `(n, height, width, channels)`; floats are rounded.
        y: Class ids from 0 on, or class names, of shape `(n,)`. For "multi_label" 0 and 1, of shape `(n, classes)`;
            for "regression" numbers, of shape `(n,)` or `(n, targets)`.
        task: "single_label", "binary" (two classes, the second of which is the positive one), "multi_label" or
            "regression".
        validation: As in `from_directory`, like `test` and `seed`.
        test: Fraction for the test.
        seed: Seed of the split and of the order of training.
        class_names: Names of the class ids, or of the columns of `y`; if `y` holds names, also their order. Natural
            order by default.
        image_size: `(height, width)` to resize to; None keeps the size.
        batch_size: Images per batch.
        resize: `"stretch"`, `"pad"` or `"crop"`.
        value_range: What is black and what is white, such as (0, 1) or (-1, 1); no value may lie outside. None for
            0..255, in which case an image of fractions none of which is above 2 is an error: it is of 0..1, or nearly
            black, and only you know which.
        channels: Channels of the images that the model is given; >= 1. `x` must have as many, except that one gray
            channel becomes three equal ones, and three become one gray.
        strict: Whether any issue is an error.

    Returns:
        The data set, split; its files are called `array:<index>`.

    Raises:
        DataError: If `x` and `y` do not fit each other or the description above, a class has too few images for the
            split, or `strict` and there is an issue.
        ValueError: If an argument is outside its range.

    Example:
        >>> import kertl
        >>> import numpy as np
        >>> x = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
        >>> data = kertl.data.from_arrays(x, [0, 1] * 10, class_names=["cat", "dog"])
        >>> images, labels = data.train[0]
        >>> images.shape, data.class_weights
        ((14, 8, 8, 3), {0: 1.0, 1: 1.0})
    """
    options = Options(image_size, validation, test, seed, batch_size, resize, None, strict, channels)
    images = array_images(x, value_range)
    refuse_other_channels(images.shape, channels, "x")
    labels, labelling = read_labels(y, len(images), task_named(task).name, class_names)
    digests = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    entries = [Entry(f"array:{k}", labels[k], digests[k]) for k in range(len(images))]
    fitted = None if options.image_size is None else fit_by(images, options.image_size, resize)
    images = resized(images, options.image_size, resize, channels)
    return assemble(
        entries,
        [],
        options,
        labelling=labelling,
        fractions=options.fractions,
        reader_of=lambda rows: ArrayReader(aligned_rows(images, rows), resize, fitted=fitted),
        name_of=lambda row: f"array:{row}",
    )


def _from_files(
    entries: list[Entry],
    places: Places,
    issues: list[Issue],
    options: Options,
    labelling: Labelling,
    fractions: dict[str, float],
    table: str = "",
) -> ImageData:
    """Leave out the entries whose file cannot be used, and assemble the rest.

    `table` is what names them, if they are not just in a folder.
    """
    entries.sort(key=lambda entry: entry.file)
    paths = [places.path(entry.file) for entry in entries]
    image_size = options.image_size or (224, 224)
    form = (image_size, options.resize, options.channels)
    kept = room_for(len(paths), *form)
    verdicts = inspect(paths, options.channels, kept, again=options.check_again)
    if all(verdict.reason for verdict in verdicts):
        first = [(entry.file, verdict.reason) for entry, verdict in zip(entries[:3], verdicts, strict=False)]
        where = f"in {table or str(places.root)!r}"
        raise none_usable(where, places, first, len(entries), by_root=bool(table))
    issues += [Issue(entry.file, seen.reason) for entry, seen in zip(entries, verdicts, strict=True) if seen.reason]
    found = [
        (entry, path, verdict)
        for entry, path, verdict in zip(entries, paths, verdicts, strict=True)
        if not verdict.reason
    ]
    usable = [dataclasses.replace(entry, sha256=verdict.sha256) for entry, _, verdict in found]
    files = [KnownFile(path, verdict.sha256, verdict.stamp) for _, path, verdict in found]
    issues += oddities([(entry.file, verdict) for entry, _, verdict in found])
    return assemble(
        usable,
        issues,
        options,
        labelling=labelling,
        fractions=fractions,
        reader_of=lambda rows: FileReader([files[row] for row in rows], *form, kept),
        name_of=lambda row: files[row].path,
        thumbnails=[verdict.thumbnail for _, _, verdict in found],
    )


def _folders(folder: Path, issues: list[Issue], root: Path | None = None) -> list[Path]:
    """The folders in `folder`; files beside them belong to no class and are issues."""
    root = root or folder
    folders = []
    for path in _listed(folder):
        if path.is_dir() and not is_hidden(path.name):
            folders.append(path)
        elif path.is_dir():
            issues.append(Issue(relative(path, root), "is a hidden folder"))
        elif not is_hidden(path.name):
            issues.append(Issue(relative(path, root), "is in no class folder"))
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            issues.append(Issue(relative(path, root), "is a hidden file"))
    return folders


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"The folder {str(folder)!r} cannot be opened: {error.strerror}.") from error


def _has_folders(folder: Path) -> bool:
    return any(path.is_dir() and not is_hidden(path.name) for path in _listed(folder))


def _refuse_unwritable(names: Iterable[str]) -> None:
    """The names of classes are written into the model, as text."""
    for name in sorted(names):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"The name of the class folder {name!r} is not valid UTF-8. Rename the folder.") from error


def _entries(folders: Sequence[Path], split: str, issues: list[Issue], root: Path, owners: Owners) -> list[Entry]:
    start = len(beginning(root))
    return [
        Entry(path[start:].replace(os.sep, "/"), folder.name, split=split)
        for folder in folders
        for path in walk(folder, issues, root, owners)
    ]

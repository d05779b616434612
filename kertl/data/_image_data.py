"""A data set that is split and ready to train on, and how it is made from a list of labelled images."""

import csv
import dataclasses
import html
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kertl import _checks
from kertl.data._dataset import ImageDataset
from kertl.data._decode import RESIZE
from kertl.data._imbalance import balanced_weights, effective_weights
from kertl.data._issues import Issue, summary_of
from kertl.data._labels import Labelling
from kertl.data._look_alikes import look_alikes
from kertl.data._readers import MemoryReader, Reader
from kertl.data._scan import natural
from kertl.data._split import assign, assign_many, bundle
from kertl.data._summary import kind_of, table_of
from kertl.errors import DataError
from kertl.run_files import write_text
from kertl.tasks import task_named


@dataclasses.dataclass(frozen=True)
class Record:
    """One image of a data set."""

    file: str
    """Where it is, relative to the root of the data set; `array:7` for the image at index 7 of an array."""
    label: str
    """Name of its class; in the other tasks the names of its classes or its targets, joined by the separator."""
    split: str
    """`"train"`, `"validation"` or `"test"`."""
    sha256: str
    """Digest of the content of the file, or of the image in the array."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What a source of images says about one image before the split."""

    file: str
    label: str
    sha256: str = ""
    split: str = ""
    stratum: tuple[str, ...] = ()
    group: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
    """What every source of images takes; checked when made."""

    image_size: tuple[int, int] | None
    validation: float
    test: float
    seed: int
    batch_size: int
    resize: str
    cache: str | None
    strict: bool

    def __post_init__(self) -> None:
        if self.image_size is not None:
            _checks.pair("image_size", self.image_size)
        _checks.number("validation", self.validation, at_least=0, below=1)
        _checks.number("test", self.test, at_least=0, below=1)
        if not self.validation + self.test < 1:
            raise ValueError(
                f"`validation` and `test` must leave images for training, so their sum must be below 1. "
                f"Received: validation={self.validation!r}, test={self.test!r}."
            )
        _checks.integer("seed", self.seed, at_least=0)
        _checks.integer("batch_size", self.batch_size, at_least=1)
        _checks.one_of("resize", self.resize, RESIZE)
        _checks.one_of("cache", self.cache, (None, "memory"))
        _checks.one_of("strict", self.strict, (False, True))

    @property
    def fractions(self) -> dict[str, float]:
        """The fraction of each part."""
        return {"train": 1 - self.validation - self.test, "validation": self.validation, "test": self.test}


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Images in a training, a validation and a test set."""

    train: ImageDataset
    """The training set, in another order each epoch."""
    validation: ImageDataset | None
    """The validation set, by which the best epoch is chosen, or None if it is empty."""
    test: ImageDataset | None
    """The test set, for the evaluation at the end, or None if it is empty."""
    class_names: list[str]
    """The classes in natural order (2 before 10) or in the given order; a label is an index into this list. In a
    regression, the names of the targets."""
    records: tuple[Record, ...]
    """Every image that is used, sorted by file."""
    issues: tuple[Issue, ...]
    """Every file that was left out or is odd, with the reason."""
    image_size: tuple[int, int]
    """`(height, width)` of every image."""
    batch_size: int
    """Images per batch."""
    seed: int
    """Seed of the split and of the order of training."""
    resize: str = "stretch"
    """How images are resized."""
    task: str = "single_label"
    """"single_label", "binary" (the second class is the positive one), "multi_label" or "regression"."""
    together: tuple[int, ...] = ()
    """A number for each of `records`; images with the same number (equal ones, or a group) are never separated."""

    @property
    def num_classes(self) -> int:
        """Number of classes, or of targets."""
        return len(self.class_names)

    @property
    def class_weights(self) -> dict[int, float]:
        """Weights that make every class count equally in training: `n / (k * n_c)` for class `c` of `k`.

        Raises:
            ValueError: If an image does not have exactly one class.
        """
        return self.weights_by_class(True)

    def weights_by_class(self, kind: bool | str) -> dict[int, float]:
        """Weights of the classes in the loss, for the training set.

        Args:
            kind: True for `class_weights`, "effective" for `kertl.data.effective_weights`.

        Raises:
            ValueError: If an image does not have exactly one class.
        """
        _checks.one_of("kind", kind, (True, "effective"))
        classes = self._classes("class_weights", "Train without class weights.")
        # As they are drawn in an epoch, so that what is oversampled does not count twice.
        counts = np.bincount(classes[self.train.order(0)], minlength=self.num_classes)
        weights = effective_weights(counts) if kind == "effective" else balanced_weights(counts)
        return dict(enumerate(weights.tolist()))

    def oversampled(self) -> "ImageData":
        """The same data with every class of the training set drawn as often as the largest one.

        An epoch becomes longer, and is still a function of seed and epoch: images of rare classes come several times,
        and which of them come one more time than others is drawn anew for each. Validation and test set are not
        changed.

        Raises:
            ValueError: If an image does not have exactly one class.

        Example:
            >>> import numpy as np, kertl
            >>> data = kertl.data.from_arrays(np.zeros((8, 4, 4, 3), "uint8"), [0] * 6 + [1] * 2, validation=0, test=0)
            >>> data.oversampled().train.order(0).tolist()
            [5, 7, 4, 7, 3, 0, 6, 1, 2, 6, 7, 6]
        """
        classes = self._classes("oversampled", "Train without oversampling.")
        return dataclasses.replace(self, train=self.train.oversampled(classes))

    def _classes(self, wanted: str, advice: str) -> np.ndarray:
        """The class of each training image."""
        if not task_named(self.task).one_class:
            raise ValueError(
                f"`{wanted}` must be asked of data with one class per image. Received: task={self.task!r}. {advice}"
            )
        return np.asarray(self.train.labels).astype(np.int64).ravel()

    @property
    def target_scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and standard deviation of each target in the training set, for `kertl.build`; None if not a regression.

        Raises:
            DataError: If a target is the same in all training images.
        """
        if task_named(self.task).output_of != "target":
            return None
        values = np.asarray(self.train.labels, np.float64)
        for name, column in zip(self.class_names, values.T, strict=True):
            if not np.ptp(column) > 0:
                raise DataError(
                    f"Target {name!r} is {column[0]:g} in every training image, so there is nothing to learn."
                )
        return tuple(values.mean(axis=0).tolist()), tuple(values.std(axis=0).tolist())

    def changed(self, *, image_size: tuple[int, int] | None = None, batch_size: int | str | None = None) -> "ImageData":
        """The same images in the same sets, at another size or batch size.

        Args:
            image_size: `(height, width)`; None keeps the size. Arrays are resized from their present size.
            batch_size: Images per batch, "full" for all training images in one, or None for as many as before; >= 1.

        Raises:
            ValueError: If an argument is out of range.

        Example:
            >>> import kertl
            >>> import numpy as np
            >>> x = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), np.uint8)
            >>> data = kertl.data.from_arrays(x, [0, 1] * 10)
            >>> data.changed(image_size=(16, 16), batch_size=4).train[0][0].shape
            (4, 16, 16, 3)
        """
        size = self.image_size if image_size is None else _checks.pair("image_size", image_size)
        count = self.train.num_examples if batch_size == "full" else batch_size or self.batch_size
        _checks.integer("batch_size", count, at_least=1)
        if (size, count) == (tuple(self.image_size), self.batch_size):
            return self
        parts = {
            part: None if dataset is None else dataset.changed(image_size=size, batch_size=int(count))
            for part, dataset in self._datasets.items()
        }
        changes: dict[str, Any] = {**parts, "image_size": size, "batch_size": int(count)}
        return dataclasses.replace(self, **changes)

    def summary(self) -> str:
        """A table of the images of each class, or the distribution of each target, by set, and a list of odd files."""
        held = {part: np.asarray(dataset.labels) for part, dataset in self._datasets.items() if dataset is not None}
        return table_of(self.task, self.class_names, held) + summary_of(self.issues)

    def __repr__(self) -> str:
        sizes = "".join(f"{part}={data.num_examples if data else 0}, " for part, data in self._datasets.items())
        more = f"image_size={self.image_size}, batch_size={self.batch_size}, issues={len(self.issues)}"
        return f"ImageData({kind_of(self.task, self.class_names)}, {sizes}{more})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the summary in monospaced type."""
        return f"<pre>{html.escape(self.summary())}</pre>"

    @property
    def _datasets(self) -> dict[str, ImageDataset | None]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def csv_text(self) -> str:
        """`records` as a CSV table with the columns file, label, split and sha256."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([field.name for field in dataclasses.fields(Record)])
        writer.writerows(dataclasses.astuple(record) for record in self.records)
        return text.getvalue()

    def write_csv(self, path: str | Path) -> None:
        """Write that table to a file, from which `from_csv(split_column="split")` makes the same split again."""
        write_text(Path(path), self.csv_text())


def check_image_data(data: Any) -> None:
    """Raise if something is no data set with its parts.

    Raises:
        ValueError: If so; a part of one is told what to pass.
    """
    if not isinstance(data, ImageData):
        advice = "Pass the data set itself, not one of its parts." if isinstance(data, ImageDataset) else ""
        accepted = "what `kertl.data.from_directory`, `from_csv`, `from_arrays` or `from_dataset` gives"
        raise _checks.complain("data", accepted, data, advice)


def assemble(
    entries: Sequence[Entry],
    issues: Iterable[Issue],
    options: Options,
    *,
    labelling: Labelling,
    fractions: Mapping[str, float],
    reader_of: Callable[[np.ndarray], Reader],
    name_of: Callable[[int], str],
    thumbnails: Sequence[bytes] = (),
) -> ImageData:
    """Splits images that can all be read, and makes a dataset of each part.

    Args:
        entries: The images, sorted by file.
        issues: What the source found.
        options: The arguments of the source.
        labelling: How their labels are read; each class must have an image.
        fractions: Fraction of each part, for the images whose part is not given.
        reader_of: Makes the reader of some of the images, given their indices.
        name_of: The name of an image in the `files` of its dataset.
        thumbnails: One of each image, to find images that look alike; without them none are searched for.
    """
    class_names = list(labelling.class_names)
    task = task_named(labelling.task)
    found = [*issues, *_twins(entries, "of another class" if task.one_class else "with another label")]
    if options.strict and found:
        raise DataError(_listed(found))
    texts = [entry.label for entry in entries]
    _refuse_without_images(labelling, texts, found)
    labels = labelling.array(texts)
    parts = _parts(entries, labelling, labels, fractions, options.seed)

    def dataset(part: str) -> ImageDataset:
        rows = np.flatnonzero([chosen == part for chosen in parts])
        reader = reader_of(rows)
        return ImageDataset(
            MemoryReader(reader, len(rows)) if options.cache == "memory" else reader,
            labels[rows],
            [name_of(int(row)) for row in rows],
            class_names=class_names,
            task=labelling.task,
            batch_size=options.batch_size,
            seed=options.seed,
            shuffle=part == "train",
            digests=[entries[int(row)].sha256 for row in rows],
        )

    train = dataset("train")
    return ImageData(
        train=train,
        validation=dataset("validation") if "validation" in parts else None,
        test=dataset("test") if "test" in parts else None,
        class_names=class_names,
        records=tuple(
            Record(entry.file, entry.label, part, entry.sha256) for entry, part in zip(entries, parts, strict=True)
        ),
        issues=(*found, *_likenesses(entries, parts, thumbnails)),
        image_size=train.image_size,
        batch_size=options.batch_size,
        seed=options.seed,
        resize=options.resize,
        task=labelling.task,
        together=tuple(_together(entries)),
    )


def _refuse_without_images(labelling: Labelling, texts: Sequence[str], found: Sequence[Issue]) -> None:
    if task_named(labelling.task).output_of == "target":
        lacking = "" if texts else "There is no image that can be used."
    else:
        missing = set(labelling.class_names) - {name for text in texts for name in labelling.classes(text)}
        lacking = "".join(
            f"Class {name!r} has no image that can be used. Add images of it, or remove it."
            for name in sorted(missing, key=natural)[:1]
        )
    if lacking:
        raise DataError(lacking + "".join(f" {issue}." for issue in found[:3]))


def _together(entries: Sequence[Entry]) -> list[int]:
    return bundle([entry.sha256 for entry in entries], [entry.group for entry in entries])


def _parts(
    entries: Sequence[Entry], labelling: Labelling, labels: np.ndarray, fractions: Mapping[str, float], seed: int
) -> list[str]:
    """The part of each image: each part has its share of every class, or of small and large targets."""
    texts = [entry.label for entry in entries]
    together = _together(entries)
    given = [entry.split for entry in entries]
    task = task_named(labelling.task)
    strata = [(*own, *entry.stratum) for own, entry in zip(task.strata(labels), entries, strict=True)]
    if task.one_class:
        return assign(texts, together, given, strata, fractions, seed)
    return assign_many([labelling.classes(text) for text in texts], together, given, strata, fractions, seed)


def _twins(entries: Sequence[Entry], differing: str) -> list[Issue]:
    """Files with the same content: harmless with one label, an error in one of the labels with two."""
    by_content = defaultdict(list)
    for entry in entries:
        by_content[entry.sha256].append(entry)
    issues = []
    for first, *others in by_content.values():
        same = f"has the same content as {first.file!r}"
        conflict = next((other for other in others if other.label != first.label), None)
        if conflict:
            other_class = f"has the same content as {conflict.file!r} {differing}, {conflict.label!r}"
            issues.append(Issue(first.file, other_class, left_out=False))
        for other in others:
            if other.label != first.label:
                issues.append(Issue(other.file, f"{same} {differing}, {first.label!r}", left_out=False))
            elif other.split != first.split:
                sides = f"{first.split or 'no split'} is prescribed there and {other.split or 'no split'} here"
                issues.append(Issue(other.file, f"{same}; {sides}", left_out=False))
            else:
                issues.append(Issue(other.file, f"{same}; they stay on one side of the split", left_out=False))
    return issues


def _likenesses(entries: Sequence[Entry], parts: Sequence[str], thumbnails: Sequence[bytes]) -> Iterator[Issue]:
    """Images that look like another one. Not an error even if `strict`: different images may look alike too."""
    rows = list({entry.sha256: row for row, entry in reversed(list(enumerate(entries)))}.values())[::-1]
    found = look_alikes([thumbnails[row] for row in rows]) if thumbnails else {}
    for later, earlier in found.items():
        one, other = rows[earlier], rows[later]
        where = "" if parts[one] == parts[other] else f", which is in {parts[one]} and this in {parts[other]}"
        other_class = f" of another class, {entries[one].label!r}" if entries[one].label != entries[other].label else ""
        yield Issue(entries[other].file, f"looks like {entries[one].file!r}{other_class}{where}", left_out=False)


def _listed(issues: Sequence[Issue]) -> str:
    first = "; ".join(map(str, issues[:5]))
    more = f"; and {len(issues) - 5} more" if len(issues) > 5 else ""
    return (
        f"`strict=True` allows no issues, and there are {len(issues)}: {first}{more}. "
        f"Correct or remove these files, or pass strict=False and read `issues`."
    )

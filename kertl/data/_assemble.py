"""How a data set is made from a list of labelled images: what they have in common, where each goes, what is odd."""

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

from kertl import _checks
from kertl.data._dataset import ImageDataset
from kertl.data._decode import RESIZE
from kertl.data._image_data import ImageData, Record
from kertl.data._issues import OTHER, SAME, Issue
from kertl.data._labels import Labelling
from kertl.data._look_alikes import look_alikes
from kertl.data._readers import MemoryReader, Reader
from kertl.data._scan import natural
from kertl.data._split import assign, assign_many, bundle
from kertl.errors import ArgumentError, DataError
from kertl.tasks import task_named


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
    channels: int
    check_again: bool = False

    def __post_init__(self) -> None:
        if self.image_size is not None:
            object.__setattr__(self, "image_size", _checks.pair("image_size", self.image_size))
        _checks.number("validation", self.validation, at_least=0, below=1)
        _checks.number("test", self.test, at_least=0, below=1)
        if not self.validation + self.test < 1:
            raise ArgumentError(
                f"`validation` and `test` must leave images for training, so their sum must be below 1. "
                f"Received: validation={self.validation!r}, test={self.test!r}."
            )
        _checks.integer("seed", self.seed, at_least=0)
        _checks.integer("batch_size", self.batch_size, at_least=1)
        _checks.one_of("resize", self.resize, RESIZE)
        _checks.one_of("cache", self.cache, (None, "memory"))
        _checks.one_of("strict", self.strict, (False, True))
        _checks.one_of("check_again", self.check_again, (False, True))
        _checks.integer("channels", self.channels, at_least=1)

    @property
    def fractions(self) -> dict[str, float]:
        """The fraction of each part."""
        return {"train": 1 - self.validation - self.test, "validation": self.validation, "test": self.test}


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
    found = [*issues, *_twins(entries, OTHER[not task.one_class])]
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
        same = f"{SAME} {first.file!r}"
        conflict = next((other for other in others if other.label != first.label), None)
        for one in [first, *others] if conflict else []:
            twin = conflict if conflict and one.label == first.label else first
            issues.append(Issue(one.file, f"{SAME} {twin.file!r} {differing}, {twin.label!r}", left_out=False))
        for other in others:
            if other.label == first.label and other.split != first.split:
                sides = f"{first.split or 'no split'} is prescribed there and {other.split or 'no split'} here"
                issues.append(Issue(other.file, f"{same}; {sides}", left_out=False))
            elif not conflict:
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

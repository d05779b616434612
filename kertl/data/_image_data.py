"""A data set that is split and ready to train on."""

import csv
import dataclasses
import html
import io
from pathlib import Path
from typing import Any

import numpy as np

from kertl import _checks
from kertl.data._dataset import ImageDataset
from kertl.data._imbalance import balanced_weights, effective_weights
from kertl.data._issues import Issue, summary_of
from kertl.data._summary import kind_of, table_of
from kertl.errors import ArgumentError, DataError
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
    def channels(self) -> int:
        """Channels of every image."""
        return self.train.channels

    @property
    def root(self) -> Path | None:
        """The folder that the files of `records` are relative to; None for images that were in memory."""
        record = next(record for record in self.records if record.split == "train")
        file, path = str(Path(record.file)), str(Path(self.train.files[0]))
        if record.file.startswith("array:") or not path.endswith(file):
            return None
        return Path(path[: len(path) - len(file)]).absolute()

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
            raise ArgumentError(
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
                    f"Target {name!r} is {column[0]:g} in every training image, so there is nothing to learn.",
                    code="labels",
                )
        return tuple(values.mean(axis=0).tolist()), tuple(values.std(axis=0).tolist())

    def changed(
        self,
        *,
        image_size: tuple[int, int] | None = None,
        batch_size: int | str | None = None,
        channels: int | None = None,
    ) -> "ImageData":
        """The same images in the same sets, at another size or batch size, or in other channels.

        Args:
            image_size: `(height, width)`; None keeps the size. Arrays are resized from their present size.
            batch_size: Images per batch, "full" for all training images in one, or None for as many as before; >= 1.
            channels: Channels of every image, >= 1, as in `from_directory`; None keeps them.

        Raises:
            DataError: If the images are arrays of another number of channels.
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
        depth = self.channels if channels is None else _checks.integer("channels", channels, at_least=1)
        if (size, count, depth) == (tuple(self.image_size), self.batch_size, self.channels):
            return self
        parts = {
            part: None if dataset is None else dataset.changed(image_size=size, batch_size=int(count), channels=depth)
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
        form = f"image_size={self.image_size}, channels={self.channels}, batch_size={self.batch_size}"
        return f"ImageData({kind_of(self.task, self.class_names)}, {sizes}{form}, issues={len(self.issues)})"

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
        write_text(_checks.path("path", path), self.csv_text())


def check_image_data(data: Any) -> None:
    """Raise if something is no data set with its parts.

    Raises:
        ValueError: If so; a part of one is told what to pass.
    """
    if not isinstance(data, ImageData):
        advice = "Pass the data set itself, not one of its parts." if isinstance(data, ImageDataset) else ""
        accepted = "what `kertl.data.from_directory`, `from_csv`, `from_arrays` or `from_dataset` gives"
        raise _checks.complain("data", accepted, data, advice)

"""Features of the source, kept so that its images are no longer needed."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl._domains._classifier import Classifier
from kertl.data import ImageDataset
from kertl.errors import DataError
from kertl.evaluation import matched
from kertl.probes import USUAL_STRENGTH, solve
from kertl.run_files import read_arrays, replace_file
from kertl.studies import domain_images, refuse_few

SOURCE_FILE = "source_features.npz"
"""The file of a run directory that holds the features of its training images."""

_STRENGTHS = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
_STRONGER = 3.0


@dataclasses.dataclass(frozen=True)
class SourceFeatures:
    """What the last Dense layer of a classifier takes, for the images that it was trained on, with their labels.

    Example:
        >>> import keras, numpy as np, kertl
        >>> layers = [keras.Input((16, 16, 3)), keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()]
        >>> model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
        >>> model = kertl.model.describe(model, class_names=["cat", "dog"], preprocessing="none")
        >>> pictures = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, [0, 1] * 6, class_names=["cat", "dog"], validation=0, test=0)
        >>> kertl.adaptation.SourceFeatures.of(model, data).rows.shape
        (12, 8)
    """

    rows: np.ndarray
    """Shape `(images, features)`, float32."""
    labels: np.ndarray
    """Class ids in the model's numbering, shape `(images,)`."""
    class_names: tuple[str, ...]
    """The model's classes."""
    key: str
    """Digest of what the features depend on besides the images."""

    @classmethod
    def of(cls, model: keras.Model, data: Any, *, cache_dir: str | Path | None = None) -> "SourceFeatures":
        """The features of labelled images of the source.

        Args:
            model: The classifier.
            data: A part of `kertl.data`, or an `ImageData`, of which the training set is taken.
            cache_dir: Where features are cached, as in `kertl.extract`.

        Raises:
            DataError: If there are fewer than 10 images, or they are of other classes than the model's.
            ValueError: If they have no labels, or the model is not a classifier for one class of several.
        """
        classifier = Classifier(model)
        images = domain_images("source", model, data, part="train")
        labels = labels_of("source", classifier, images)
        if labels is None:
            raise complain("source", "images with labels", data, "Leave `source` out if there are none.")
        return cls(classifier.features(images, cache_dir), labels, classifier.names, classifier.key())

    @functools.cached_property
    def strength(self) -> float:
        """Strength of the penalty for a head on other features than these: three times the best for held-out rows.

        A fifth of the rows is held out. Features of another domain differ from these by more than others of this one
        do, which a stronger penalty allows for.
        """
        order = np.random.default_rng(0).permutation(len(self.rows))
        held, fitted = np.split(order, [len(order) // 5])
        targets = np.eye(len(self.class_names))[self.labels]
        if not len(held):
            return USUAL_STRENGTH
        found = solve(
            self.rows[fitted],
            targets[fitted],
            link="softmax",
            held_out=(self.rows[held], targets[held]),
            strengths=_STRENGTHS,
        )
        return _STRONGER * found.strength

    def save(self, path: str | Path) -> None:
        """Write them to a file, which replaces the old one at once or not at all; 5 KB an image at 1,280 features.

        Args:
            path: A file that ends in .npz; `source_features.npz` in a run directory is found by `kertl adapt`.
        """
        told = json.dumps({"class_names": self.class_names, "key": self.key})
        arrays = {"rows": self.rows, "labels": self.labels, "about": np.frombuffer(told.encode(), np.uint8)}

        def write(beside: Path) -> None:
            with beside.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)

        replace_file(Path(path), write)

    @classmethod
    def load(cls, path: str | Path) -> "SourceFeatures":
        """Read what `save` wrote.

        Raises:
            DataError: If the file is something else, or is damaged.
        """
        try:
            arrays = read_arrays(Path(path))
            about = json.loads(arrays["about"].tobytes().decode())
            return cls(arrays["rows"], arrays["labels"], tuple(about["class_names"]), str(about["key"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{str(path)!r} must hold features that `SourceFeatures.save` wrote. Received: {error}."
            ) from error

    def check(self, classifier: Classifier) -> None:
        """Raise if they are not features of this model.

        Raises:
            DataError: If the classes, the number of features, or what computes them differ, there are fewer than 10
                rows, or a label or a number is none that can be.
        """
        if self.class_names != classifier.names:
            raise DataError(
                f"`source` must be of the model's classes, {list(classifier.names)}. "
                f"Received: features with {list(self.class_names)}."
            )
        width = classifier.kernel.shape[0]
        if self.rows.shape[1:] != (width,) or self.key != classifier.key():
            raise DataError(
                f"`source` must be features that this model computed, {width} an image. Received: shape "
                f"{self.rows.shape}, perhaps of other weights. Make them anew: `SourceFeatures.of(model, data)`."
            )
        refuse_few("source", len(self.rows))
        classes = len(self.class_names)
        if self.labels.shape != (len(self.rows),) or not np.isin(self.labels, np.arange(classes)).all():
            raise DataError(
                f"`source` must have one label from 0 to {classes - 1} for each of its {len(self.rows)} rows. "
                f"Received: labels of shape {self.labels.shape}, {np.unique(self.labels).tolist()}."
            )
        if not np.isfinite(self.rows).all():
            raise DataError(
                "`source` must be finite features. Received: NaN or infinite ones. Make them anew: "
                "`SourceFeatures.of(model, data)`."
            )


def labels_of(argument: str, classifier: Classifier, images: ImageDataset) -> np.ndarray | None:
    """The class ids of images in the model's numbering; None if they have no labels.

    Raises:
        DataError: If they are of classes that the model does not have.
    """
    if images.labels is None:
        return None
    unknown = [name for name in images.class_names if name not in classifier.names]
    if images.task not in ("single_label", "binary") or unknown:
        ways = "Give other classes a new head with `head='extend'` or `head='new'`, or leave the labels out."
        raise DataError(
            f"`{argument}` must be images of the model's classes, {list(classifier.names)}. Received: "
            f"{unknown or images.task}. {ways if argument == 'target' else 'Give what the model was trained on.'}"
        )
    return np.asarray(matched(classifier.model, images).labels).reshape(-1).astype(np.int64)

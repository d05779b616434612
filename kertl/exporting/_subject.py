"""The model that is exported, and the images on which exports are compared with it."""

import dataclasses
import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain, integer
from kertl.backbones import refuse_nan
from kertl.data import ImageData, ImageDataset, data_errors, from_directory
from kertl.errors import RunError
from kertl.evaluation import matched, pictures_of, run_images
from kertl.exporting._contract import contract_of
from kertl.groups import functional_of
from kertl.model import load, model_info, picture_shape, with_preprocessing
from kertl.quantization import noted_network
from kertl.run_files import MODEL_FILE, local_run
from kertl.tasks import Task, task_named

_logger = logging.getLogger(__name__)

_NOISE = 32  # images
_SAMPLES = 128  # training images on which a quantisation measures activations
_BATCH = 32


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """A model, what goes with it, and images to ask it about.

    Attributes:
        model: The model; it takes pictures of 0..255.
        run_dir: The run directory that it is from, or None.
        contract: What an export must say, see `contract_of`.
        images: The images of a part, in data order; None for noise.
        where: Which images these are, for people.
        train: The training images, or None.
        from_file: Whether the model was read from the file of the run.
    """

    model: keras.Model
    run_dir: Path | None
    contract: dict[str, Any]
    images: ImageDataset | None
    where: str
    train: ImageDataset | None
    from_file: bool = False

    @property
    def task(self) -> Task:
        """The task of the model."""
        return task_named(self.contract["task"])

    @property
    def thresholds(self) -> np.ndarray:
        """One per output; not used for tasks without."""
        return np.array(self.contract["thresholds"] or [0.0] * self.model.output_shape[-1])

    @functools.cached_property
    def is_of_run(self) -> bool:
        """Whether the model is the one in the file of its run, which may have been trained on in memory since."""
        if self.run_dir is None or not (self.run_dir / MODEL_FILE).is_file():
            return False
        return self.from_file or _same(self.model, load(self.run_dir))

    @property
    def fixed_batch(self) -> bool:
        """Whether an export takes batches of one number of pictures only."""
        return self.contract["input"]["shape"][0] is not None

    @functools.cached_property
    def pictures(self) -> np.ndarray:
        """The images as the model takes them, `uint8`; noise, coarse and fine, if there are none."""
        if self.images is not None:
            return _read(self.images)
        height, width, channels = self.contract["input"]["shape"][1:]
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (_NOISE, 4, 4, channels))
        rows, columns = np.arange(height) * 4 // height, np.arange(width) * 4 // width
        fine = random.integers(-30, 31, (_NOISE, height, width, channels))
        return np.clip(coarse[:, rows][:, :, columns] + fine, 0, 255).astype(np.uint8)

    @functools.cached_property
    def predictions(self) -> np.ndarray:
        """What the model itself says of the pictures."""
        return np.asarray(self.model.predict(self.pictures, batch_size=_BATCH, verbose=0))

    @functools.cached_property
    def rounded(self) -> Any:
        """The rounded network of a model that was trained for 8 bits, else None."""
        return noted_network(self.model)

    @functools.cached_property
    def truth(self) -> np.ndarray | None:
        """The labels of the pictures, in the order of the model's outputs; None if there are none."""
        if self.images is None or self.images.labels is None:
            return None
        return np.asarray(matched(self.model, self.images).labels)

    def samples(self) -> np.ndarray:
        """Training images, at most 128, in which each class has its share, and at least one image.

        Raises:
            ValueError: If there are no training images.
        """
        if self.train is None:
            advice = "Pass `data=`, the data set that it was trained on, or a folder with a folder per class."
            raise complain("quantize", "other than 'int8' where there are no training images", "int8", advice)
        return _read(self.train.in_order().subset(stratified(self.train, _SAMPLES)))


def subject_of(model_or_run: Any, data: Any = None, images: int = 1000) -> Subject:
    """The model, and the images, of what somebody wants to export.

    Args:
        model_or_run: A Keras model, a run, or the path of a run directory or of a model file.
        data: Images to compare on; None for those of the run.
        images: How many at most, taken evenly; >= 1.

    Raises:
        RunError: If a run directory has no finished run.
        TypeError: If the model is subclassed or not built.
        WeightsError: If a model cannot be loaded, or a weight is NaN or infinite.
        ValueError: If an argument is not as described, or the model takes pictures of any size.
    """
    integer("images", images, at_least=1)
    model, run_dir, from_file = _model_of(model_or_run)
    functional_of(model)
    refuse_nan(model)
    model = with_preprocessing(model, None)
    contract = contract_of(model)
    parts, where = _parts(model, run_dir, data)
    part = next((name for name in ("test", "validation", "train") if name in parts), None)
    if part is None:
        _logger.warning("Exports are compared with the model on noise: %s. Pass `data` for real images.", where)
        return Subject(model, run_dir, contract, None, "noise", None, from_file)
    chosen = _evenly(parts[part], images)
    told = f"{chosen.num_examples} {part} images"
    return Subject(model, run_dir, contract, chosen, told, parts.get("train"), from_file)


def stratified(dataset: ImageDataset, count: int) -> np.ndarray:
    """Positions of at most `count` images, in which each class, or part of a target's range, has its share.

    The images are sorted by class, in random order within it, and taken evenly; then the first of each class that is
    missing is added.
    """
    order = np.random.default_rng(0).permutation(dataset.num_examples)
    if dataset.labels is None:
        return np.sort(order[:count])
    labels, task = np.asarray(dataset.labels), task_named(dataset.task)
    strata = (
        task.strata(labels) if task.output_of == "target" else [tuple(row) for row in labels.reshape(len(labels), -1)]
    )
    kinds = np.unique([repr(one) for one in strata], return_inverse=True)[1]
    in_kinds = order[np.argsort(kinds[order], kind="stable")]
    taken = in_kinds[np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))]
    firsts = in_kinds[np.unique(kinds[in_kinds], return_index=True)[1]]
    left = firsts[~np.isin(kinds[firsts], kinds[taken])][:count]
    return np.sort(np.concatenate([taken, left]))


def _model_of(given: Any) -> tuple[keras.Model, Path | None, bool]:
    """The model, its run directory, and whether it was read from the run's file."""
    if isinstance(given, keras.Model):
        return given, None, False
    if isinstance(given, str | Path):
        path = local_run(given, "model_or_run")
        if path.is_dir() and not (path / MODEL_FILE).is_file():
            raise RunError(
                f"`model_or_run` must be the directory of a finished run, a model file, a run or a Keras model. "
                f"Received: {str(path)!r}, which has no {MODEL_FILE}. If the run was interrupted, the call or command "
                "that began it finishes it.",
                code="run-unfinished",
            )
        return load(path), path if path.is_dir() else None, path.is_dir()
    model = getattr(given, "model", None)
    if not isinstance(model, keras.Model):
        raise complain("model_or_run", "a Keras model, a run, or the path of a run directory or a model file", given)
    return model, given.run_dir, False


def _same(model: keras.Model, other: keras.Model) -> bool:
    """Whether two models have the same weights and know the same."""
    pairs = zip(model.get_weights(), other.get_weights(), strict=False)
    alike = len(model.weights) == len(other.weights) and all(np.array_equal(one, two) for one, two in pairs)
    return alike and model_info(model) == model_info(other)


def _parts(model: keras.Model, run_dir: Path | None, data: Any) -> tuple[dict[str, ImageDataset], str]:
    """The images by part, as the model takes them, and why there are none."""
    found: Mapping[str, ImageDataset | None] = {}
    why = "no `data` was given"
    if isinstance(data, str | Path):
        size, channels = picture_shape(model)
        info = model_info(model)
        resize = (info.resize if info is not None else None) or "stretch"
        data = from_directory(
            data, image_size=size or (0, 0), channels=channels or 3, resize=resize, validation=0, test=0
        )
    if isinstance(data, ImageData):
        found = {"train": data.train, "validation": data.validation, "test": data.test}
    elif isinstance(data, ImageDataset):
        found = {"test": data}
    elif data is not None:
        raise complain("data", "what `kertl.data` gives, or a folder with one folder of images per class", data)
    elif run_dir is not None and (info := model_info(model)) is not None:
        found, why = run_images(run_dir, info)
    asked = {part: pictures_of(model, images, part) for part, images in found.items() if images is not None}
    return {part: images for part, images in asked.items() if isinstance(images, ImageDataset)}, why


def _evenly(dataset: ImageDataset, count: int) -> ImageDataset:
    if dataset.num_examples <= count:
        return dataset
    return dataset.subset(np.linspace(0, dataset.num_examples - 1, count).round().astype(int))


def _read(dataset: ImageDataset) -> np.ndarray:
    with data_errors(dataset):
        return np.concatenate([dataset.batch(0, index)[0] for index in range(len(dataset))])

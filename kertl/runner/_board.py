"""What a run writes for TensorBoard: each stage by layer group, and what the run is and became.

| in `tensorboard/` | what |
|---|---|
| `train/`, `validation/` | what `kertl.callbacks.TensorBoard` writes, stage after stage |
| the folder itself | recipe, data and environment as text; the graph of layer groups; where stages begin and end; the |
| | hyperparameters; at the end the metrics, and the predictions for the whole validation and test set |
"""

import dataclasses
import json
import logging
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl._events import EventFile, graph_of, session_end, session_start
from kertl.callbacks import HeldExamples, Profiler, TensorBoard, check_profile_steps, spread, write_predictions
from kertl.data import ImageData, ImageDataset, augment
from kertl.errors import DataError, DivergedError
from kertl.groups import Chain
from kertl.recipe import Recipe, Stage
from kertl.training import Given, Learner, Material, OnFeatures

_logger = logging.getLogger(__name__)
_SHOWN = 16
_ALWAYS_TOLD = ("at", "epochs", "learning_rate", "schedule", "optimizer", "augment")


class RunBoard:
    """Writes for TensorBoard while a run goes on; nothing without a folder.

    Args:
        folder: Where to write; None for a run that leaves no files.
        learner: What is trained.
        data: Its images.
        recipe: The recipe.
        profile: First and last step of each stage that is profiled; None for none.
    """

    def __init__(
        self,
        folder: Path | None,
        learner: Learner,
        data: ImageData,
        recipe: Recipe,
        profile: tuple[int, int] | None = None,
    ) -> None:
        self._profile = profile
        self._folder, self._learner, self._data, self._recipe = folder, learner, data, recipe
        self._file = None if folder is None else EventFile(folder)

    def __enter__(self) -> "RunBoard":
        """Write what the run is."""
        file, folder = self._file, self._folder
        if file is None or folder is None:
            return self
        environment = json.loads((folder.parent / "environment.json").read_text("utf-8"))
        file.text("recipe", f"```json\n{self._recipe.to_json()}\n```")
        file.text("data", f"```\n{self._data.summary()}\n```")
        file.text("environment", f"```json\n{json.dumps(environment, indent=2)}\n```")
        file.graph(graph_of(_nodes(self._learner.chain)))
        file.summary(session_start(str(folder.parent), hyperparameters(self._recipe, self._data, self._learner.chain)))
        file.flush()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Write how the run ended; one that was stopped has not."""
        if self._file is not None:
            if kind is None or issubclass(kind, DivergedError):
                self._file.summary(session_end(failed=kind is not None))
            self._file.flush()

    def watching(self, number: int, material: Material) -> list[keras.callbacks.Callback]:
        """The callbacks that watch stage `number`, counted from 0, fitted on `material`."""
        if self._folder is None:
            return []
        stage, given = self._recipe.stages[number], Given(self._data)
        before = [dataclasses.replace(one, image_size=None) for one in self._recipe.stages[:number]]
        data = given.in_stage(stage).data
        profiling = [] if self._profile is None else [Profiler(self._folder, steps=self._profile)]
        return [
            *profiling,
            TensorBoard(
                self._folder,
                validation=lambda: _held(data, material),
                groups=self._learner.chain.groups,
                training_pictures=lambda: _as_trained(data, stage, material, (self._recipe.seed, number)),
                first_step=sum(one.epochs * len(given.in_stage(one).data.train) for one in before),
            ),
        ]

    def mark(self, number: int, epoch: int, *, begins: bool) -> None:
        """Mark where stage `number` begins or ends, by the number of an epoch, counted from 0 through all stages."""
        if self._file is None:
            return
        self._file.scalar("stage", number + 1, epoch)
        if begins:
            stages = self._recipe.stages
            told = ", ".join(f"{name}={value!r}" for name, value in _told(stages[number]).items())
            self._file.text("stages", f"Stage {number + 1} of {len(stages)}: {told}", epoch)
        self._file.flush()

    def end(self, metrics: Mapping[str, Any], predictions: Mapping[str, np.ndarray], epochs: int) -> None:
        """Write the metrics of the run and its predictions for whole sets."""
        file = self._file
        if file is None:
            return
        for name, found in predictions.items():
            part: ImageDataset = getattr(self._data, name)
            for metric, value in metrics[name].items():
                if isinstance(value, float):
                    file.scalar(f"final/{name}_{metric}", value, epochs)
            rows = spread(part.num_examples, _SHOWN)
            order = np.concatenate([rows, np.setdiff1d(np.arange(part.num_examples), rows)])
            held = HeldExamples(
                None,
                np.asarray(part.labels)[order],
                pictures=_pictures(part, rows),
                class_names=self._data.class_names,
                task=self._data.task,
            )
            write_predictions(file, held, found[order], epochs, prefix=f"final/{name}/")


def check_profiled(profile: tuple[int, int] | None, run_dir: str | Path | None) -> None:
    """Raise if a profile is asked for that cannot be made.

    Raises:
        ValueError: If it is no window of steps, or there is no folder to write it to.
    """
    if profile is None:
        return
    check_profile_steps("profile", profile)
    if run_dir is None:
        raise complain("profile", "given with `run_dir`, the folder that it is written to", profile)


def hyperparameters(recipe: Recipe, data: ImageData, chain: Chain) -> dict[str, Any]:
    """What tells a run from others, as TensorBoard's table of trainings shows it."""
    found: dict[str, Any] = {
        "model": chain.model_name,
        "seed": recipe.seed,
        "precision": recipe.precision,
        "batch_size": data.batch_size,
        "image_size": "x".join(map(str, data.image_size)),
        "images": data.train.num_examples,
    }
    for number, stage in enumerate(recipe.stages, start=1):
        found |= {f"stage {number} {name}": value for name, value in _told(stage).items()}
    return found


def _told(stage: Stage) -> dict[str, Any]:
    """The fields of a stage that are looked at first, and all that are not as usual."""
    fields = {field.name: getattr(stage, field.name) for field in dataclasses.fields(stage)}
    usual = Stage(stage.at, solver=stage.solver)
    return {name: value for name, value in fields.items() if name in _ALWAYS_TOLD or value != getattr(usual, name)}


def _nodes(chain: Chain) -> dict[str, tuple[str, list[str]]]:
    """The calls of a chain by the names of their layers, inside their groups."""
    given, nodes = {chain.graph.input: "input"}, {"input": ("Placeholder", list[str]())}
    for number, group in enumerate(chain.groups):
        for step in chain.steps(number, number + 1):
            name = f"{group.name}/{step.operation.name}"
            while name in nodes:
                name += "_"
            nodes[name] = (type(step.operation).__name__, [given[ref] for ref in step.inputs])
            given.update(dict.fromkeys(step.outputs, name))
    return nodes


def _held(data: ImageData, material: Material) -> HeldExamples:
    """Some images that a stage is validated on, or is trained on if there are none, as its model takes them."""
    part = data.validation or data.train
    rows = spread(part.num_examples)
    if isinstance(material, OnFeatures):
        batches = material.validation or material.train
        x = keras.tree.map_structure(lambda array: np.asarray(array[batches.rows[rows]]), batches.values)
        pictures = _pictures(part, rows[:_SHOWN])
    else:
        x = part.reader.take(rows)
        pictures = x[:_SHOWN]
    labels = np.asarray(part.labels)[rows]
    return HeldExamples(x, labels, pictures, class_names=data.class_names, task=data.task)


def _pictures(part: ImageDataset, rows: np.ndarray) -> np.ndarray | None:
    """Images to show; None, which is logged, if they are gone: a run that has their features goes on without them."""
    try:
        return part.reader.take(rows)
    except DataError as error:
        _logger.warning("TensorBoard shows no images: %s", error)
        return None


def _as_trained(data: ImageData, stage: Stage, material: Material, seed: tuple[int, ...]) -> np.ndarray:
    """Some training images, mixed and varied as a stage does; which generators exist is forgotten."""
    on_images = not isinstance(material, OnFeatures)
    if on_images and (stage.mixup or stage.cutmix):
        images = material.train.batch(0, 0)[0][:_SHOWN]
    else:
        images = data.train.reader.take(data.train.order(0)[:_SHOWN])
    before = random.getstate()  # new layers draw their seeds
    try:
        return augment.varied(augment.layers(stage.augment, data.channels), images, seed)
    finally:
        random.setstate(before)

"""What is trained: a chain of layer groups, and what its outputs mean."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from kertl.backbones import refuse_nan
from kertl.groups import Chain, copied, find_chain
from kertl.model import FrozenPrefix, at_size, computing_in, target_spreads, train_factors, train_groups
from kertl.quantization import FakeQuantised, plan_of
from kertl.recipe import Stage
from kertl.tasks import Task, task_named


class Learner:
    """A model as training sees it: the model itself, or a copy that is trained separately.

    Args:
        chain: Its layer groups.
        task: Its task.
        spreads: For a regression, the standard deviation of each target, by which its loss counts; else None.
        model: The model whose chain it is; made from the chain if it is needed and not given.
    """

    def __init__(
        self, chain: Chain, task: Task, spreads: Sequence[float] | None, model: keras.Model | None = None
    ) -> None:
        self.chain, self.task, self.spreads = chain, task, spreads
        self._model = model
        self._sized: dict[tuple[int, int], Learner] = {}

    @classmethod
    def of(cls, model: keras.Model, task: str) -> "Learner":
        """The learner that trains `model` in place.

        Raises:
            WeightsError: If a weight of the model is NaN or infinite.
        """
        refuse_nan(model)
        return cls(find_chain(model), task_named(task), target_spreads(model), model)

    @functools.cached_property
    def model(self) -> keras.Model:
        """The whole model, which shares the layers of the chain."""
        graph = self.chain.graph
        return self._model or self.chain.at_shape(graph.shapes[graph.input], name=self.chain.model_name)

    @property
    def channels(self) -> int:
        """Channels of the images that it takes."""
        return int(self.chain.graph.shapes[self.chain.graph.input][-1] or 3)

    def at_size(self, image_size: tuple[int, int] | None) -> "Learner":
        """The same layers for images of another size; None keeps the size."""
        own = self.chain.graph.shapes[self.chain.graph.input][:2]
        if image_size is None or own in (tuple(image_size), (None, None)):
            return self
        size = (image_size[0], image_size[1])
        if size not in self._sized:
            other = at_size(self.model, size)
            self._sized[size] = Learner(find_chain(other), self.task, self.spreads, other)
        return self._sized[size]

    def copy(self, first: int, *, head_seed: int | None = None) -> "Learner":
        """The same with new layers from group `first` on, as `kertl.groups.copied` makes them."""
        return Learner(copied(self.chain, first, head_seed=head_seed), self.task, self.spreads)

    def first_trained(self, stage: Stage) -> int:
        """The number of the first group that trains in a stage."""
        return self.chain.first_trained(stage.at)

    def set_trainable(self, stage: Stage) -> None:
        """Make exactly those layers trainable that a stage trains."""
        first = self.first_trained(stage)
        train_groups(self.chain, first, stage.batch_norm)
        if stage.lora_rank:
            train_factors(self.chain.layers(first, len(self.chain.backbone_groups)))

    def prefix(self, stage: Stage) -> keras.Model:
        """The frozen prefix of a stage."""
        return self.chain.piece(0, self.first_trained(stage), name=f"{self.chain.model_name}_prefix")

    def suffix(self, stage: Stage) -> keras.Model:
        """What trains in a stage, as a model of the features at its boundary."""
        name = f"{self.chain.model_name}_suffix"
        return self.chain.piece(self.first_trained(stage), len(self.chain.groups), name=name)

    def whole(self, stage: Stage, suffix: keras.Model, augmentation: Sequence[Any]) -> keras.Model:
        """What trains in a stage, as a model of images: augmentation, the frozen prefix, the suffix."""
        graph, first = self.chain.graph, self.first_trained(stage)
        dtype = None if augmentation else graph.input_dtype
        inputs = x = keras.Input(graph.shapes[graph.input], dtype=dtype, name="training_images")
        for layer in augmentation:
            x = layer(x)
        if first:
            x = FrozenPrefix(self.prefix(stage), name="frozen_prefix")(x)
        return keras.Model(inputs, suffix(x), name=f"{self.chain.model_name}_stage")

    def rounded(self, stage: Stage) -> FakeQuantised:
        """The whole model as it computes in 8 bits, as a layer; what is before the boundary is in inference mode."""
        return FakeQuantised(plan_of(self.chain), len(self.chain.steps(0, self.first_trained(stage))), name="rounded")

    def whole_rounded(self, network: FakeQuantised, augmentation: Sequence[Any]) -> keras.Model:
        """What trains in a stage with `quantize`, as a model of images: augmentation, the rounded network."""
        graph = self.chain.graph
        dtype = None if augmentation else graph.input_dtype
        inputs = x = keras.Input(graph.shapes[graph.input], dtype=dtype, name="training_images")
        for layer in augmentation:
            x = layer(x)
        return keras.Model(inputs, network(x), name=f"{self.chain.model_name}_stage")

    @contextmanager
    def computing_in(self, precision: str) -> Iterator[None]:
        """Let the layers compute in `precision` for a while."""
        if precision == "float32":
            yield
            return
        with computing_in(self.model, precision):
            yield

    @property
    def backbone(self) -> list[Any]:
        """The layers of the backbone."""
        return self.chain.layers(0, len(self.chain.backbone_groups))


def values_of(variables: Sequence[Any]) -> list[np.ndarray]:
    """The values of variables, copied."""
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def put_back(values: Mapping[Any, np.ndarray] | Sequence[tuple[Any, np.ndarray]]) -> None:
    """Set variables to their values."""
    for variable, value in values.items() if isinstance(values, Mapping) else values:
        variable.assign(value)

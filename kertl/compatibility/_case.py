"""What the rules examine: a recipe, a model, data and callbacks, and what follows from them."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import keras

from kertl._keras import layers_inside
from kertl.data import ImageData
from kertl.features import forward_seconds
from kertl.groups import Chain, find_chain
from kertl.model import cut
from kertl.recipe import Recipe, Stage


@dataclasses.dataclass(frozen=True)
class StageCase:
    """One stage of the recipe, with its model and data."""

    number: int
    """Counted from 1."""
    stage: Stage
    case: "Case"

    @property
    def batch_size(self) -> int:
        """Images per step."""
        images = self.case.data.train.num_examples
        asked = images if self.stage.batch_size == "full" else self.stage.batch_size
        return min(images, int(asked or self.case.data.batch_size))

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return math.ceil(self.case.data.train.num_examples / self.batch_size) * self.stage.epochs

    @cached_property
    def first(self) -> int:
        """The first layer group that trains."""
        return self.case.chain.first_trained(self.stage.at)

    @cached_property
    def layers(self) -> list[Any]:
        """The layers that train, those inside others too; BatchNorm that is frozen is left out."""
        chain, found = self.case.chain, []
        end = len(chain.backbone_groups)
        for begin, stop in ((self.first, end), (max(self.first, end), len(chain.groups))):
            frozen = stop == end and self.stage.batch_norm == "frozen"
            leaves = [leaf for layer in chain.layers(begin, stop) for leaf in layers_inside(layer)]
            found += [leaf for leaf in leaves if not (frozen and isinstance(leaf, keras.layers.BatchNormalization))]
        return found

    @property
    def batch_norms(self) -> list[Any]:
        """The BatchNorm layers that train."""
        return [layer for layer in self.layers if isinstance(layer, keras.layers.BatchNormalization)]

    @property
    def frozen_seconds(self) -> float:
        """Seconds per image of the part that is frozen, measured here, at the model's size and by area at another."""
        height, width, channels = self.case.chain.graph.shapes[self.case.chain.graph.input]
        own = (height or self.case.data.image_size[0], width or self.case.data.image_size[1])
        prefix, _ = cut(self.case.chain, self.first)
        share = math.prod(self.stage.image_size or own) / math.prod(own)
        return share * forward_seconds(prefix, (*own, channels or 3))

    def __str__(self) -> str:
        return f"stage {self.number} (at={self.stage.at!r})"


@dataclasses.dataclass(frozen=True)
class Case:
    """Everything that is to go together."""

    recipe: Recipe
    model: keras.Model
    data: ImageData
    callbacks: Sequence[keras.callbacks.Callback]
    range_test: Any

    @cached_property
    def chain(self) -> Chain:
        """The model as a chain of layer groups."""
        return find_chain(self.model)

    @cached_property
    def stages(self) -> list[StageCase]:
        """The stages of the recipe."""
        return [StageCase(number, stage, self) for number, stage in enumerate(self.recipe.stages, start=1)]

    def after_dropout(self) -> Iterator[Any]:
        """The BatchNorm layers that take what a Dropout layer gives."""
        makers = {ref: step.operation for step in self.chain.graph.steps for ref in step.outputs}
        for step in self.chain.graph.steps:
            if isinstance(step.operation, keras.layers.BatchNormalization):
                before = makers.get(step.inputs[0])
                if isinstance(before, keras.layers.Dropout) and before.rate > 0:
                    yield step.operation

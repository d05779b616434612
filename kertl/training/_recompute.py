"""Gradient checkpointing: layer groups whose inner values are computed again for the gradient instead of being kept."""

import logging
from typing import Any

import keras

from kertl._checks import complain
from kertl._keras import layers_inside, seed_generators
from kertl.groups import Chain
from kertl.recipe import Stage
from kertl.training._learner import Learner

_logger = logging.getLogger(__name__)


class Recomputed(keras.layers.Layer):
    """A piece of a model of whose values, in training, only what goes in and out is kept until the gradient is there.

    Args:
        piece: The piece; what it computes must not change from one call to the next.
    """

    def __init__(self, piece: keras.Model, **options: Any) -> None:
        super().__init__(autocast=False, **options)
        self.piece = piece

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the piece gives."""
        if not training:
            return self.piece(inputs, training=training)
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]

        def outputs(*given: Any) -> Any:
            return self.piece(list(given) if len(given) > 1 else given[0], training=True)

        return keras.remat(outputs)(*tensors)

    def compute_output_spec(self, inputs: Any, training: bool | None = None) -> Any:
        """The shape and the type of what the piece gives."""
        return self.piece.compute_output_spec(inputs)


def recomputable(chain: Chain, stage: Stage) -> list[int]:
    """The numbers of the backbone's groups after a stage's boundary that can be computed twice with the same result.

    Dropout draws other numbers the second time, and BatchNorm that is not frozen would count a batch twice.
    """
    first = chain.first_trained(stage.at)
    moves = (keras.layers.BatchNormalization,) if stage.batch_norm == "train" else ()
    return [
        number
        for number in range(first, len(chain.backbone_groups))
        if not any(
            isinstance(layer, moves) or _draws(layer)
            for outer in chain.layers(number, number + 1)
            for layer in layers_inside(outer)
        )
    ]


def refuse_without_recomputable(chain: Chain, stage: Stage) -> None:
    """Raise if gradient checkpointing is asked for and no group can be computed again.

    Raises:
        ValueError: If so.
    """
    if stage.gradient_checkpointing and not recomputable(chain, stage):
        raise complain(
            "gradient_checkpointing",
            f"False in the stage at={stage.at!r}, where no layer group of the backbone after the boundary can be "
            "computed again: there is none, or each has Dropout, or BatchNorm that trains",
            True,
            "Leave it out in that stage, choose a boundary nearer to the input, or batch_norm='frozen'.",
        )


def checkpointed(learner: Learner, stage: Stage) -> keras.Model:
    """What trains in a stage, as a model of the features at its boundary: `Learner.suffix`, in pieces."""
    chain, again = learner.chain, set(recomputable(learner.chain, stage))
    first, head = learner.first_trained(stage), len(chain.backbone_groups)
    left = [chain.groups[number].name for number in range(first, head) if number not in again]
    _logger.info(
        "The values in %d layer groups are computed again for the gradient, not kept%s.",
        len(again),
        f"; those in {', '.join(left)} are kept" if left else "",
    )
    suffix = learner.suffix(stage)
    inputs = [keras.Input(one.shape[1:], dtype=one.dtype) for one in suffix.inputs]
    tensors: Any = inputs if len(inputs) > 1 else inputs[0]
    for number in range(first, len(chain.groups)):
        piece = chain.piece(number, number + 1, name=f"group_{number}")
        tensors = (Recomputed(piece, name=f"recomputed_{number}") if number in again else piece)(tensors)
    return keras.Model(inputs, tensors, name=suffix.name)


def _draws(layer: Any) -> bool:
    return bool(seed_generators(layer)) and getattr(layer, "rate", 1) > 0

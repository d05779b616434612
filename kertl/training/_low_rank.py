"""A stage that trains low-rank factors beside the kernels of its layers, which are part of them again afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kertl._checks import complain
from kertl.groups import Chain
from kertl.model import add_factors, low_rank_layers, merge_factors
from kertl.recipe import Stage


def refuse_without_low_rank(chain: Chain, stage: Stage) -> None:
    """Raise if a stage is to train factors and no layer after its boundary can have them.

    Raises:
        ValueError: If so.
    """
    if stage.lora_rank and not _layers(chain, stage):
        raise complain(
            "lora_rank",
            f"0 where the backbone has no Dense, EinsumDense or 1x1 convolution after the boundary {stage.at!r}",
            stage.lora_rank,
            "Choose a boundary nearer to the input.",
        )


@contextmanager
def factors_added(chain: Chain, stage: Stage, seed: int) -> Iterator[None]:
    """Let the layers of a stage have low-rank factors, if it trains any; they are merged into the kernels in the end.

    Args:
        chain: The layer groups of the model.
        stage: The stage.
        seed: Seed of the factors' first values; >= 0.
    """
    layers = _layers(chain, stage) if stage.lora_rank else []
    add_factors(layers, stage.lora_rank, seed)
    try:
        yield
    finally:
        if layers:
            merge_factors(layers)


def _layers(chain: Chain, stage: Stage) -> list[Any]:
    return low_rank_layers(chain.layers(chain.first_trained(stage.at), len(chain.backbone_groups)))

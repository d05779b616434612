"""Gradual unfreezing: the boundary moves towards the input, stage by stage."""

from typing import Any

import keras

from kertl._checks import number, one_of
from kertl.groups import find_chain
from kertl.recipe import NAMED, Recipe, Stage


def gradual_unfreezing(
    model: keras.Model,
    *,
    down_to: str | int = "full",
    by: str = "main",
    learning_rate: float | str = 1e-4,
    rate_decay: float = 0.6,
    **fields: Any,
) -> Recipe:
    """A recipe that trains the head alone, and then with each stage more of the layer groups before it.

    Args:
        model: The model to be trained.
        down_to: The last boundary, as in `kertl.Stage`.
        by: "main": from one halving of resolution to the previous one; "block": block by block.
        learning_rate: Highest rate of the first stage after the head's; > 0. "auto" runs a range test at the start of
            each stage.
        rate_decay: Factor on it for each further stage; 0 < decay <= 1.
        **fields: Fields of `kertl.Stage` for all stages except the head's. They also say when a stage ends: after
            `epochs`, 3 by default; after `patience_epochs` without a better validation loss; or
            `until_below_validation`. Each stage begins with the best weights of the previous one.

    Returns:
        The recipe, for `kertl.fine_tune`.

    Raises:
        ValueError: If there is no such boundary, or an argument is out of range.

    Example:
        >>> import kertl
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(64, 64, 3))
        >>> recipe = kertl.gradual_unfreezing(model, down_to="block_6", epochs=3)
        >>> [(stage.at, round(stage.learning_rate, 7)) for stage in recipe.stages]
        [('deep', 0.003), ('block_16', 0.0001), ('block_10', 6e-05), ('block_6', 3.6e-05)]

    Reference:
        Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, section 3.3.
        https://arxiv.org/abs/1801.06146
    """
    one_of("by", by, ("main", "block"))
    number("rate_decay", rate_decay, above=0, at_most=1)
    if isinstance(learning_rate, str):
        one_of("learning_rate", learning_rate, ("auto",))
    else:
        number("learning_rate", learning_rate, above=0)
    chain = find_chain(model)
    last, end = chain.first_trained(down_to), len(chain.backbone_groups)
    kinds = {"main": ("main",), "block": ("main", "block")}[by]
    firsts = [place for place in range(1, end) if chain.groups[place - 1].boundary in kinds and place > last]
    begins = [*reversed(firsts), *([last] if last < end else [])]
    stages = [
        Stage(
            chain.groups[place].name if place else "full",
            learning_rate="auto" if isinstance(learning_rate, str) else learning_rate * rate_decay**behind,
            **{"epochs": 3, **fields},
        )
        for behind, place in enumerate(begins)
    ]
    return Recipe(stages=[*NAMED["deep"], *stages])

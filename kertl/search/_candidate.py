"""What a trial trains: a backbone, a head, and the stages of a recipe."""

import dataclasses
import json
from typing import Any

from kertl._checks import complain
from kertl.heads import Head
from kertl.recipe import Recipe, Stage

# What goes with `fine_tune` alone, which has the whole model, its layer groups, and stages of any kind.
_ALONE = ("layer_decay", "patience_epochs", "until_below_validation", "ema", "l2_sp")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a space function makes of a trial's hyperparameters, and what `kertl.fine_tune` trains again.

    The objective is that of the last stage; stages before it train the head alone, on features.

    Raises:
        ValueError: If a value is outside what is stated with it.

    Example:
        >>> import kertl
        >>> stages = [kertl.Stage("deep", augment="none"), kertl.Stage("mid", augment="none", learning_rate=1e-4)]
        >>> candidate = kertl.search.Candidate("ResNet50", kertl.Recipe(stages=stages), kertl.Head())
        >>> kertl.search.Candidate.from_json(candidate.to_json()) == candidate
        True
    """

    backbone: str
    """One of the names that the space function was given."""
    recipe: Recipe
    """One or more stages in float32, those before the last with `at="deep"` and kept features; each with one number as
    `learning_rate`, without averages of the weights, a rule to stop early, or a pull towards the weights it began with.
    The recipe's seed does not matter: that of the search is used."""
    head: Head
    """The head."""

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, Recipe) or self.recipe.precision != "float32":
            raise complain("recipe", "a kertl.Recipe in float32", self.recipe)
        if not isinstance(self.head, Head):
            raise complain("head", "a kertl.Head", self.head)
        for stage in self.recipe.stages:
            if not isinstance(stage.learning_rate, (int, float)):
                raise complain("stage", "a kertl.Stage with one number as learning_rate", stage)
            for name in _ALONE:
                if getattr(stage, name) != getattr(Stage, name):
                    raise complain("stage", f"a kertl.Stage with {name}={getattr(Stage, name)!r} in a search", stage)
        for stage in self.recipe.stages[:-1]:
            if stage.at != "deep" or not on_features(stage):
                accepted = "a kertl.Stage('deep', ...) on kept features (augment='none' or views > 0) before the last"
                raise complain("stage", accepted, stage)

    def to_json(self) -> str:
        """The candidate as JSON text."""
        values = {"backbone": self.backbone, "recipe": json.loads(self.recipe.to_json())}
        return json.dumps({**values, "head": dataclasses.asdict(self.head)})

    @classmethod
    def from_json(cls, text: str) -> "Candidate":
        """The candidate in JSON text.

        Raises:
            ValueError: If the text is not what `to_json` gives.
        """
        values: dict[str, Any] = json.loads(text)
        try:
            head = Head(**values["head"])
            return cls(values["backbone"], Recipe.from_json(json.dumps(values["recipe"])), head)
        except (KeyError, TypeError) as error:
            raise complain("text", "JSON with backbone, recipe and head", text) from error


def on_features(stage: Stage) -> bool:
    """Whether a stage that freezes something trains on kept features."""
    return stage.cache is not False and not stage.cutmix and (stage.augment == "none" or stage.views > 0)

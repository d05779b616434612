"""What a trial trains: a backbone, a head, and the stages of a recipe."""

import dataclasses
import json
from typing import Any

from kertl._checks import complain, parse_json
from kertl.heads import Head
from kertl.recipe import Recipe

CANDIDATE = "candidate.json"
"""In the folder of a trial: what it trained, and for how long."""
SPREAD = "_spread"
"""The suffix of the name of a metric's standard deviation over folds."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """What a space function makes from a trial's hyperparameters, and what `kertl.fine_tune` can train again.

    The objective is that of the last stage.

    Raises:
        ValueError: If a value is outside its stated range.

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
    """One or more stages. The recipe's seed does not matter: that of the search is used."""
    head: Head
    """The head."""

    def __post_init__(self) -> None:
        if not isinstance(self.recipe, Recipe):
            raise complain("recipe", "a kertl.Recipe", self.recipe)
        if not isinstance(self.head, Head):
            raise complain("head", "a kertl.Head", self.head)

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
        values: dict[str, Any] = parse_json(text)
        try:
            head = Head(**values["head"])
            return cls(values["backbone"], Recipe.from_json(json.dumps(values["recipe"])), head)
        except (KeyError, TypeError) as error:
            raise complain("text", "JSON with backbone, recipe and head", text) from error

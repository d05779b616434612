"""Stages one after the other, by themselves or by name, to and from JSON."""

import dataclasses
import json
from collections.abc import Iterable, Sequence
from typing import Any

from kertl._checks import LARGEST_SEED, complain, integer, nearest, number, one_of, parse_json
from kertl.recipe._stage import Stage

PRESETS = ("auto", "quick", "good", "best")
"""Names of recipes that are chosen for a model and data."""
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Stages one after the other, and what holds for all of them.

    Attributes:
        stages: What is trained, in order; at least one `Stage`.
        precision: What the layers compute in while they train: "float32", "mixed_bfloat16" or "mixed_float16".
        seed: Seed of augmentation and dropout; 0 <= seed <= 4,000,000,000.
        refit: Whether a head that was solved exactly, if its stage is the best in the end, is solved once more on the
            training and the validation images together, at the strength that was chosen. The metrics of the validation
            set are those from before.
        average: Whether the run gives, as one model, the mean of what its stages predict at their ends, instead of the
            best of them. The shares of the stages are chosen on the validation set, and so is whether each image is
            also predicted as its mirror image; without one, all stages count equally. Stages are then at the size of
            the data and in float.

    Raises:
        ValueError: If there is no stage, or a value is outside its range.

    Example:
        >>> import kertl
        >>> recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=5), kertl.Stage("mid", epochs=10)])
        >>> kertl.Recipe.from_json(recipe.to_json()) == recipe
        True
    """

    stages: Sequence[Stage]
    precision: str = "float32"
    seed: int = 0
    refit: bool = False
    average: bool = False

    def __post_init__(self) -> None:
        stages = tuple(self.stages) if isinstance(self.stages, Iterable) else ()
        if not stages or not all(isinstance(stage, Stage) for stage in stages):
            advice = "Pass it in a list." if isinstance(self.stages, Stage) else ""
            raise complain("stages", "a list of at least one kertl.Stage", self.stages, advice)
        object.__setattr__(self, "stages", stages)
        one_of("precision", self.precision, PRECISIONS)
        integer("seed", self.seed, at_least=0, at_most=LARGEST_SEED)
        one_of("refit", self.refit, (True, False))
        rounded = [bool(stage.quantize) for stage in stages]
        if rounded != sorted(rounded):
            raise complain("quantize", "the same in all stages that follow", None, "Stages in 8 bits come last.")
        if any(rounded) and self.precision != "float32":
            raise complain("precision", "'float32' with a stage that has quantize='int8'", self.precision)
        if self.refit and not any(stage.solver == "exact" for stage in stages):
            raise complain("refit", "False unless a stage has solver='exact'", self.refit)
        self._check_average()

    def _check_average(self) -> None:
        if one_of("average", self.average, (True, False)):
            for field in ("image_size", "quantize"):
                for value in (getattr(stage, field) for stage in self.stages):
                    if value is not None:
                        raise complain(field, "None in all stages with average=True", value, code="combination")

    def to_json(self) -> str:
        """The recipe as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=_plain)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe in JSON text.

        Raises:
            ValueError: If the text is not JSON, or has names or values that no recipe has.
        """
        values = parse_json(text)
        _check_names(values, cls, needed="stages")
        stages = values.pop("stages")
        if not isinstance(stages, list):
            raise complain("stages", "a list of stages", stages)
        for stage in stages:
            _check_names(stage, Stage, needed="at")
        return cls(stages=[Stage(stage.pop("at"), **stage) for stage in stages], **values)


def named_recipe(name: str, **changes: Any) -> Recipe:
    """A recipe by name.

    "deep" trains the head alone; "mid" and "full" then also train from the last halving of resolution on, or from the
    input on; "gradual" does first the one and then the other.

    Args:
        name: "deep", "mid", "full" or "gradual".
        **changes: Fields of `Stage` to set in every stage.

    Raises:
        ValueError: If the name is none of these, or a change is out of range.

    Example:
        >>> from kertl.recipe import named_recipe
        >>> [stage.at for stage in named_recipe("gradual").stages]
        ['deep', 'mid', 'full']
    """
    one_of("recipe", name, NAMED)
    if changes.get("augment") == "none" or changes.get("cutmix") or changes.get("cache") is False:
        changes.setdefault("views", 0)  # versions of an image differ by augmentation, and are cached features
    if changes.get("solver") == "exact":  # the other fields of these stages are about steps
        return Recipe(stages=[Stage(**{"at": stage.at, **changes}) for stage in NAMED[name]])
    return Recipe(stages=[dataclasses.replace(stage, **changes) for stage in NAMED[name]])


def recipe_of(recipe: Any) -> Recipe:
    """What somebody passes as a recipe, as a `Recipe`.

    Args:
        recipe: A recipe, one stage, or the name of a recipe.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(recipe, str):
        return named_recipe(recipe)
    found = Recipe(stages=[recipe]) if isinstance(recipe, Stage) else recipe
    if not isinstance(found, Recipe):
        raise complain("recipe", "a kertl.Recipe, one kertl.Stage, or the name of a recipe", recipe)
    return found


def check_minutes(minutes: Any, recipe: Any) -> None:
    """Raise unless a time for a run, if there is one, is above 0 and goes with a recipe that is chosen.

    Raises:
        ValueError: If so.
    """
    if minutes is not None:
        number("minutes", minutes, above=0)
        if not isinstance(recipe, str) or recipe not in PRESETS:
            raise complain("minutes", f"left out unless the recipe is one of {', '.join(PRESETS)}", minutes)


# With cached features epochs cost little; docs/design/features.md has the measurements.
_DEEP = Stage("deep", epochs=15, learning_rate=3e-3, augment="none")
_MID = Stage("mid", epochs=15, learning_rate=3e-5, views=4)
_FULL = Stage("full", epochs=8, learning_rate=3e-5)

NAMED: dict[str, tuple[Stage, ...]] = {
    "deep": (_DEEP,),
    "mid": (_DEEP, _MID),
    "full": (_DEEP, _FULL),
    "gradual": (_DEEP, _MID, _FULL),
}


def _check_names(values: Any, kind: type, needed: str) -> None:
    known = {field.name for field in dataclasses.fields(kind)}
    if not isinstance(values, dict) or not {needed} <= values.keys() <= known:
        accepted = f"a JSON object with {needed!r}, and no names but {', '.join(sorted(known))}"
        unknown = [name for name in values if name not in known] if isinstance(values, dict) else []
        advice = [f"{name!r} is none of them. {nearest(name, known)}".rstrip() for name in unknown]
        raise complain(kind.__name__.lower(), accepted, values, " ".join(advice))


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    return value.item()

"""What a run needs to be repeated: stages one after the other, each a boundary, a schedule and a length.

Only dataclasses, to and from JSON; the same objects are what a script writes, what the command line fills, and what is
kept beside the results.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from kertl._checks import complain, integer, number, one_of

SCHEDULES = ("one_cycle", "cosine", "constant")
OPTIMIZERS = ("adamw", "adam", "sgd", "sgd_nesterov", "rmsprop", "lion", "muon")
AUGMENTATIONS = ("none", "light", "strong")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training: what trains, for how long, and how fast.

    Raises:
        ValueError: If a value is outside the range stated with it.

    Example:
        >>> import kertl
        >>> kertl.Stage("deep", epochs=5).learning_rate
        0.001
    """

    at: str | int
    """The boundary behind which the model trains: "deep", "mid", "full", a group's name, or a number of groups."""
    _: dataclasses.KW_ONLY
    epochs: int = 5
    """How often the training images are gone through; >= 1."""
    learning_rate: float = 1e-3
    """The highest learning rate; > 0."""
    schedule: str = "one_cycle"
    """"one_cycle" (up for three tenths of the steps, then down to nearly zero), "cosine" (down to zero), "constant"."""
    optimizer: str = "adamw"
    """"adamw", "adam", "sgd" or "sgd_nesterov" (momentum 0.9), "rmsprop", "lion" or "muon"."""
    weight_decay: float = 1e-4
    """Share of each weight that a step at rate 1 takes away; >= 0. Biases and BatchNorm are left out."""
    label_smoothing: float = 0.1
    """Share of the target that is spread over all classes; 0 <= smoothing < 1. Without effect in a regression."""
    class_weights: bool = False
    """Whether every class counts alike in the loss, however many images it has: better for the rare classes, worse for
    the accuracy over all images."""
    augment: str = "light"
    """How much the training images are varied: "none", "light" or "strong"."""
    mixup: float = 0.0
    """Above 0, each training image, or its features where they are kept, is mixed with another of its batch, and the
    labels with them; its own share is drawn from Beta(mixup, mixup), 0.1 to 0.4 being usual. The training accuracy then
    counts an answer as right that is the label of the greater share."""
    batch_norm: str = "frozen"
    """What the backbone's BatchNorm layers behind the boundary do: "frozen" or "train"."""
    cache: str | bool = "auto"
    """Whether the part in front of the boundary is run once and its features are kept for all epochs: True, False, or
    "auto": where they find room, serve more epochs than they have versions, and `augment` is "none" or `views` > 0."""
    views: int = 0
    """How many augmented versions of each training image are kept as features, another one each epoch; 0 keeps the
    plain image, which goes with `augment` "none"."""
    patience_epochs: int | None = None
    """Stop after so many epochs without a better validation loss; None goes through all epochs."""

    def __post_init__(self) -> None:
        if not isinstance(self.at, (str, int)) or isinstance(self.at, bool):
            raise complain("at", "'deep', 'mid', 'full', the name of a layer group, or a number of groups", self.at)
        integer("epochs", self.epochs, at_least=1)
        number("learning_rate", self.learning_rate, above=0)
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        number("weight_decay", self.weight_decay, at_least=0)
        number("label_smoothing", self.label_smoothing, at_least=0, below=1)
        one_of("class_weights", self.class_weights, (True, False))
        one_of("augment", self.augment, AUGMENTATIONS)
        number("mixup", self.mixup, at_least=0)
        one_of("batch_norm", self.batch_norm, ("frozen", "train"))
        one_of("cache", self.cache, ("auto", True, False))
        integer("views", self.views, at_least=0)
        if self.patience_epochs is not None:
            integer("patience_epochs", self.patience_epochs, at_least=1)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Stages one after the other, and what holds for all of them.

    Raises:
        ValueError: If there is no stage, or a value is outside the range stated with it.

    Example:
        >>> import kertl
        >>> recipe = kertl.Recipe(stages=[kertl.Stage("deep", epochs=5), kertl.Stage("mid", epochs=10)])
        >>> kertl.Recipe.from_json(recipe.to_json()) == recipe
        True
    """

    stages: Sequence[Stage]
    """What is trained, in order; at least one stage."""
    precision: str = "float32"
    """What the layers compute in while training: "float32", "mixed_bfloat16" or "mixed_float16"."""
    seed: int = 0
    """Seed of augmentation and dropout; >= 0."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages or not all(isinstance(stage, Stage) for stage in self.stages):
            raise complain("stages", "a list of at least one kertl.Stage", self.stages)
        one_of("precision", self.precision, PRECISIONS)
        integer("seed", self.seed, at_least=0)

    def to_json(self) -> str:
        """The recipe as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=_plain)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe in JSON text.

        Raises:
            ValueError: If the text is not JSON, or has names or values that no recipe has.
        """
        values = json.loads(text)
        _check_names(values, cls, needed="stages")
        stages = values.pop("stages")
        if not isinstance(stages, list):
            raise complain("stages", "a list of stages", stages)
        for stage in stages:
            _check_names(stage, Stage, needed="at")
        return cls(stages=[Stage(stage.pop("at"), **stage) for stage in stages], **values)


def named_recipe(name: str, **changes: Any) -> Recipe:
    """A recipe by name.

    "deep" trains the head alone; "mid" and "full" go on from there to the last halving of resolution, and to the
    input; "gradual" goes on to the one and then to the other.

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
    if changes.get("augment") == "none":
        changes.setdefault("views", 0)  # versions of an image differ by augmentation
    return Recipe(stages=[dataclasses.replace(stage, **changes) for stage in NAMED[name]])


# Where features are kept, epochs cost little; docs/design/features.md has what was measured.
_DEEP = Stage("deep", epochs=15, learning_rate=3e-3, augment="none")
_MID = Stage("mid", epochs=15, learning_rate=1e-4, views=4)
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
        raise complain(kind.__name__.lower(), accepted, values)


def _plain(value: Any) -> Any:
    """A number of numpy as one of Python."""
    return value.item()

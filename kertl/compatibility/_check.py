"""`check`: all rules applied, one finding per line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from kertl._checks import complain, each
from kertl._deprecation import REMOVALS, warn
from kertl.compatibility._case import Case
from kertl.compatibility._requirements import REQUIREMENTS
from kertl.compatibility._rules import RULES
from kertl.data import ImageData, check_image_data
from kertl.errors import WeightsError
from kertl.groups import functional_of
from kertl.recipe import Recipe, Stage, recipe_of

RECIPE_FIRST = "kertl.check(recipe, model, data)"
REMOVALS[RECIPE_FIRST] = "0.4"


@dataclass(frozen=True)
class Finding:
    """One thing that does not go with another."""

    rule: str
    """Name of the rule, as in docs/compatibility.md."""
    severity: str
    """"error": training would fail or not do what is specified. "warning": training is known to give worse results."""
    what: str
    """What clashes here, with the values found."""
    why: str
    """Why that is so."""
    advice: str
    """What to do."""
    source: str
    """The source of the reason."""

    def __str__(self) -> str:
        said = " ".join(filter(None, (f"{self.what}.", self.why, self.advice)))
        return f"{self.severity}: {said} [{self.rule}; {self.source}]"


class Findings(tuple[Finding, ...]):
    """The findings, errors first; printed, one line each."""

    __slots__ = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that would stop `fine_tune`."""
        return tuple(one for one in self if one.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that it would print."""
        return tuple(one for one in self if one.severity == "warning")

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "Nothing was found that does not go together."


def check(
    model: keras.Model,
    data: ImageData,
    recipe: str | Recipe | Stage,
    *,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    range_test: Any = None,
) -> Findings:
    """Find what does not go together, before anything is trained.

    `kertl.fine_tune` does this itself: errors stop it, warnings are logged. docs/compatibility.md lists the rules; if
    one without which nothing can be trained is broken, the others are left for later.

    Args:
        model: The model to train.
        data: The images.
        recipe: The name of a recipe with fixed stages, a `kertl.Recipe`, or one `kertl.Stage`. Until 0.4 it may also be
            the first argument, as it was before 0.2.
        callbacks: The callbacks for `fine_tune` or `fit`.
        range_test: The result of `kertl.lr_range_test`, to compare the learning rates with.

    Returns:
        The findings, errors first; empty if nothing was found.

    Raises:
        ValueError: If an argument is of another kind.

    Example:
        >>> import numpy as np, kertl
        >>> pictures = np.random.default_rng(0).integers(0, 255, (40, 32, 32, 3), dtype="uint8")
        >>> data = kertl.data.from_arrays(pictures, ["left", "right"] * 20, validation=0.25, test=0, batch_size=4)
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> [finding.rule for finding in kertl.check(model, data, "mid")]
        ['flip-of-left-and-right', 'small-validation']
    """
    given: tuple[Any, Any, Any] = (model, data, recipe)
    if isinstance(given[0], (str, Recipe, Stage)):
        warn(RECIPE_FIRST, since="0.2", removed=REMOVALS[RECIPE_FIRST], instead="kertl.check(model, data, recipe)")
        recipe, model, data = given
    check_image_data(data)
    functional_of(model, pictures=True)
    callbacks = each("callbacks", callbacks, keras.callbacks.Callback, "a list of Keras callbacks")
    if range_test is not None and not hasattr(range_test, "suggestion"):
        raise complain("range_test", "what `kertl.lr_range_test` returned", range_test)
    recipe = recipe_of(recipe)
    refused = list(_refused(recipe, model, data))
    if refused:  # the rules are about what can be trained
        return Findings(refused)
    case = Case(recipe, model, data, tuple(callbacks), range_test)
    found = [
        Finding(rule.name, rule.severity, what, rule.why, rule.advice, rule.source)
        for rule in RULES
        for what in rule.find(case)
    ]
    return Findings(sorted(found, key=lambda finding: finding.severity != "error"))


def _refused(recipe: Recipe, model: keras.Model, data: ImageData) -> Iterator[Finding]:
    """What would make training fail."""
    for one in REQUIREMENTS:
        try:
            one.require(model, data, recipe)
        except (ValueError, WeightsError) as error:
            yield Finding(one.name, "error", str(error).rstrip("."), "Training would fail.", "", "fine_tune")

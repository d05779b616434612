"""Which fields of a stage do not work everywhere: one table, for errors, `kertl.check` and the documentation."""

from collections.abc import Iterator
from dataclasses import dataclass

from kertl._checks import complain
from kertl.recipe import Recipe, Stage


@dataclass(frozen=True)
class Unsupported:
    """A field of `kertl.Stage` that has no meaning somewhere."""

    field: str
    """Its name."""
    where: str
    """Where it does not work."""
    why: str
    """Why not."""


WITHOUT_VALIDATION = "fine_tune without a validation set"
_NOTHING_CHOOSES = "There is no validation set to stop a stage by."
_TRAINED_AGAIN = "A stage that is trained again and again keeps its layers as they are."
_FOR_EXPORT = "What it leaves, ranges of activations, is for the export of one model."

UNSUPPORTED: tuple[Unsupported, ...] = (
    Unsupported("until_below_validation", WITHOUT_VALIDATION, _NOTHING_CHOOSES),
    Unsupported("until_below_validation", "cross_validate", "A held-out fold must not choose what it evaluates."),
    Unsupported("until_below_validation", "a search by folds", "A held-out fold must not choose what it evaluates."),
    Unsupported("lora_rank", "cross_validate", _TRAINED_AGAIN),
    Unsupported("lora_rank", "a search", _TRAINED_AGAIN),
    Unsupported("quantize", "cross_validate", _FOR_EXPORT),
    Unsupported("quantize", "a search", _FOR_EXPORT),
    Unsupported("quantize", "a range test", "Ranges of activations are not known before the stage."),
)


def unsupported(recipe: Recipe, where: str) -> Iterator[tuple[Stage, Unsupported]]:
    """Each stage with a field that is not supported there, and that field."""
    for stage in recipe.stages:
        for one in UNSUPPORTED:
            if one.where == where and getattr(stage, one.field) != getattr(Stage, one.field):
                yield stage, one


def support_table() -> str:
    """The table in Markdown, as in docs/compatibility.md."""
    rows = [f"| `{one.field}` | {one.where} | {one.why} |" for one in UNSUPPORTED]
    return "\n".join(["| field of `kertl.Stage` | not in | why |", "|---|---|---|", *rows])


def refuse_unsupported(recipe: Recipe, where: str) -> None:
    """Raise if a stage has a field that is not supported there.

    Args:
        recipe: The recipe.
        where: As in `UNSUPPORTED`.

    Raises:
        ValueError: If one has, or the recipe averages its stages anywhere but in `fine_tune`.
    """
    if recipe.average and where in ("cross_validate", "a search"):
        raise complain("average", f"False in {where}", True, "It would compare the last stages, not their mean.")
    for stage, one in unsupported(recipe, where):
        raise complain(one.field, f"{getattr(Stage, one.field)!r} in {where}", getattr(stage, one.field), one.why)

"""What of a stage cannot be had everywhere: one table, for refusals, `kertl.check` and the documentation."""

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
    """What cannot have it."""
    why: str
    """Why not."""


WITHOUT_VALIDATION = "fine_tune without a validation set"
_NOTHING_CHOOSES = "There is no validation set that a stage could be stopped by."

UNSUPPORTED: tuple[Unsupported, ...] = (
    Unsupported("until_below_validation", WITHOUT_VALIDATION, _NOTHING_CHOOSES),
    Unsupported("until_below_validation", "cross_validate", "A fold chooses nothing that it judges."),
    Unsupported("until_below_validation", "a search by folds", "A fold chooses nothing that it judges."),
)


def unsupported(recipe: Recipe, where: str) -> Iterator[tuple[Stage, Unsupported]]:
    """Each stage that asks for what cannot be had, and what that is."""
    for stage in recipe.stages:
        for one in UNSUPPORTED:
            if one.where == where and getattr(stage, one.field) != getattr(Stage, one.field):
                yield stage, one


def support_table() -> str:
    """The table in Markdown, as it stands in docs/compatibility.md."""
    rows = [f"| `{one.field}` | {one.where} | {one.why} |" for one in UNSUPPORTED]
    return "\n".join(["| field of `kertl.Stage` | not in | why |", "|---|---|---|", *rows])


def refuse_unsupported(recipe: Recipe, where: str) -> None:
    """Raise if a stage asks for what cannot be had.

    Args:
        recipe: The recipe.
        where: As in `UNSUPPORTED`.

    Raises:
        ValueError: If so.
    """
    for stage, one in unsupported(recipe, where):
        raise complain(one.field, f"{getattr(Stage, one.field)!r} in {where}", getattr(stage, one.field), one.why)

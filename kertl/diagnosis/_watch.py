"""Saying what a training shows while there is time to stop it."""

import ast
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kertl.diagnosis._curves import Curves, Known
from kertl.diagnosis._diagnose import judge

if TYPE_CHECKING:
    from kertl.diagnosis._result import Diagnosis

URGENT = (
    "diverged",
    "vanishing_gradients",
    "class_collapse",
    "rate_too_high",
    "rate_too_low",
    "batch_norm",
    "overfitting",
)
"""Verdicts that are worth stopping for."""
_FIRST = 5  # epochs of a stage before anything is said; a NaN ends a stage by itself


class Watch:
    """Looks at a training after each epoch.

    Args:
        known: What is known of it besides its curves.

    Attributes:
        diagnosis: The diagnosis after the last epoch; None before the first.
    """

    def __init__(self, known: Known | None = None) -> None:
        self.known = known or Known()
        self.diagnosis: Diagnosis | None = None
        self._before: str | None = None
        self._told: set[tuple[int, str]] = set()

    def look(self, rows: Sequence[Mapping[str, Any]], epochs_left: int) -> str | None:
        """What to say now: a verdict that two epochs in a row gave, once per stage and while there are epochs left.

        Args:
            rows: One mapping per epoch so far.
            epochs_left: Number of epochs that the stage still has.
        """
        curves = Curves.of_rows(rows)
        found = self.diagnosis = judge(curves, self.known)
        stage = int(curves.stages[-1])
        before, self._before = self._before, found.verdict
        enough = int((curves.stages == stage).sum()) >= _FIRST and before == found.verdict
        if not epochs_left or found.verdict not in URGENT or not enough:
            return None
        if (stage, found.verdict) in self._told:
            return None
        self._told.add((stage, found.verdict))
        return f"After epoch {len(curves)}, with {epochs_left} left: {found.sentence} To try: {_one_line(found.next)}"

    def get_state(self) -> dict[str, Any]:
        """What has been said."""
        return {"before": self._before, "told": [list(one) for one in sorted(self._told)]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on after what has been said."""
        self._before, self._told = state["before"], {(int(stage), str(verdict)) for stage, verdict in state["told"]}


def _one_line(code: str) -> str:
    """The first statement, without comments."""
    return ast.unparse(ast.parse(code).body[0])

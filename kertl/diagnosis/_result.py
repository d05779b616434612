"""A diagnosis: a verdict in words, its evidence, and what to try."""

import dataclasses
import textwrap
from collections.abc import Mapping
from typing import ClassVar

from kertl.results import Result

HEALTHY = ("good_fit", "still_improving", "too_short", "no_validation")
"""Verdicts that say nothing against the training."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that a training shows."""

    verdict: str
    """Its name, one of `kertl.diagnosis.VERDICTS`."""
    sentence: str
    """The same in words."""
    evidence: Mapping[str, float]
    """The numbers that it rests on, by name."""
    next: str
    """What to try, as Python code."""


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis(Result):
    """What `kertl.diagnose` found.

    Attributes:
        findings: What the training shows, the one that explains most in front; at least one.
        epochs: Number of epochs that were looked at.
        unknown: What could not be judged, and what it would take.
        learning_curve: What a learning curve says about bias and variance; None without one.
    """

    DERIVED: ClassVar[tuple[str, ...]] = ("verdict", "sentence")

    findings: tuple[Finding, ...]
    epochs: int
    unknown: tuple[str, ...] = ()
    learning_curve: str | None = None

    @property
    def verdict(self) -> str:
        """The name of the first finding."""
        return self.findings[0].verdict

    @property
    def sentence(self) -> str:
        """The first finding in words."""
        return self.findings[0].sentence

    @property
    def summary(self) -> str:
        """The first finding in words; of a small validation set also what it makes uncertain, or what it suggests."""
        small = next((one for one in self.findings if one.verdict == "validation_too_small"), None)
        if small is None or len(self.findings) == 1:
            return self.sentence
        if small is not self.findings[0]:
            return f"{self.sentence} {small.sentence}"
        return f"{self.sentence} As far as it can be trusted: {self.others[0].sentence}"

    @property
    def evidence(self) -> Mapping[str, float]:
        """The numbers that the first finding rests on."""
        return self.findings[0].evidence

    @property
    def next(self) -> str:
        """What to try, as Python code."""
        return self.findings[0].next

    @property
    def others(self) -> tuple[Finding, ...]:
        """The findings after the first."""
        return self.findings[1:]

    @property
    def healthy(self) -> bool:
        """Whether nothing speaks against the training."""
        return self.verdict in HEALTHY

    def table(self) -> str:
        """The verdict, its evidence, what to try, and what else was found."""
        first = self.findings[0]
        lines = [*_wrapped(f"{_titled(first.verdict)}. {first.sentence}"), f"  {_numbers(first)}", "Next:"]
        lines += [f"  {line}" for line in first.next.splitlines()]
        for other in self.others:
            lines += _wrapped(f"Also, {_titled(other.verdict).lower()}: {other.sentence}")
            lines += [f"  {line}" for line in other.next.splitlines()]
        if self.learning_curve:
            lines += _wrapped(f"Learning curve: {self.learning_curve}")
        if self.unknown:
            lines += _wrapped(f"Not judged: {'; '.join(self.unknown)}.")
        return "\n".join(lines) + "\n"


def _titled(verdict: str) -> str:
    return verdict.replace("_", " ").capitalize()


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, width=80)


def _numbers(finding: Finding) -> str:
    told = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in finding.evidence.items()]
    return "\n  ".join(textwrap.wrap(", ".join(told), width=78))

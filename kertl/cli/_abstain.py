"""`kertl predict --abstain` and `--coverage`: what is chosen on the validation images of the run."""

from pathlib import Path
from typing import TYPE_CHECKING

from kertl._places import as_given
from kertl._terminal import CONSOLE
from kertl.errors import ArgumentError

if TYPE_CHECKING:
    import keras

    from kertl.evaluation import Caution


def read_abstain(text: str) -> tuple[str, float]:
    """`risk` or nothing, and the number of `--abstain`."""
    kind, _, value = text.rpartition(":")
    try:
        amount = float(value)
    except ValueError:
        amount = float("nan")
    if kind not in ("", "risk") or not 0 < amount < 1:
        raise ArgumentError(
            f"`--abstain` must be a probability, or risk: and a share, each > 0 and < 1. Received: --abstain {text}."
        )
    return kind, amount


def caution_of(path: Path, model: "keras.Model", abstain: str | None, coverage: float | None) -> "Caution | None":
    """What the two options ask for; None if neither was given.

    Args:
        path: The run directory or model file; only a run knows its validation images.
        model: The model that is in it.
        abstain: A probability, or `risk:` and the share of wrong answers.
        coverage: The share of images whose set has the right class.
    """
    if abstain is None and coverage is None:
        return None
    from kertl.evaluation import cautious
    from kertl.model import model_info

    kind, amount = ("", None) if abstain is None else read_abstain(abstain)
    risk, least = (amount, None) if kind else (None, amount)
    if risk is None and coverage is None:
        return cautious(model, least=least)
    from kertl.evaluation import run_images

    info = model_info(model)
    found, why = (
        run_images(path, info) if path.is_dir() and info is not None else ({}, f"{as_given(path)} is not a run")
    )
    if "validation" not in found:
        why = why or "the run has none"
        raise ArgumentError(
            f"`--abstain risk:` and `--coverage` must have the validation images of a run. Received: none, as {why}. "
            "Give the run directory, or a probability for `--abstain`."
        )
    chosen = cautious(model, found["validation"], least=least, risk=risk, coverage=coverage)
    if risk is not None:
        CONSOLE.print(
            f"Abstains below a probability of {chosen.least:.4f}; of the validation images it answers "
            f"{chosen.answered:.1%}.",
            highlight=False,
        )
    return chosen

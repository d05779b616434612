"""The batch that fits: where memory runs out, batches are computed in halves, quarters and so on."""

import logging
from typing import Any

import keras

from kertl.data import ImageData
from kertl.errors import RunError
from kertl.recipe import Stage
from kertl.runner._journal import Journal
from kertl.training import normalising, undivided_reason

_logger = logging.getLogger(__name__)

LEAST_NORMALISED = 8
"""The fewest images that BatchNorm which trains is left with."""


def part_size(journal: Journal, number: int, batch: int) -> int | None:
    """How many images of a batch stage `number` computes at once; None for all of them.

    Raises:
        RunError: If choices.json has a number that no halving gives.
    """
    size = journal.choices.get(str(number), {}).get("part_size")
    if size is not None and size not in _halves(batch):
        raise RunError(
            f"choices.json must have a part of a batch that halving gives, one of {_halves(batch)}. Received: "
            f"part_size={size!r} for stage {number + 1}. Restore the file, or remove the directory to begin again.",
            code="damaged",
        )
    return size


def halve(journal: Journal, number: int, stage: Stage, data: ImageData, model: keras.Model, said: str) -> None:
    """Have stage `number` compute half as many images at once as before; written and said before it takes effect.

    Args:
        journal: The run so far.
        number: Which stage, counted from 0.
        stage: It.
        data: Its images, in its batches.
        model: What trains.
        said: What the error that memory ran out with said.

    Raises:
        RunError: If a batch cannot be divided, or not further.
    """
    batch = data.batch_size
    before = part_size(journal, number, batch) or batch
    names = normalising(model)
    least = LEAST_NORMALISED if names else 1
    reason = "it is of one image" if before == 1 else undivided_reason(model, stage)
    if reason is None and before // 2 < least:
        reason = f"{_listed(names)} would be trained on fewer than {least} images at a time"
    if reason is not None:
        raise RunError(f"{_less(stage, number, batch, before, reason)} {journal.hint()}", code="memory")
    now = before // 2
    seen = f" {_listed(names)} then sees {now} images at a time, which gives other results." if names else ""
    why = f"Memory ran out with {before} images at once: {said[:200]}."
    journal.choose(number, {**journal.choices.get(str(number), {}), "part_size": now, "part_size_reason": why + seen})
    _logger.warning(
        "Stage %d (at=%r) takes more memory than there is with %d images at once. It goes on from %s with %d at once, "
        "whose gradients are added up, so that a step is still of %d images.%s",
        number + 1,
        stage.at,
        before,
        "its beginning" if journal.position is None else f"the last checkpoint ({journal.position})",
        now,
        batch,
        seen,
    )


def _halves(batch: int) -> list[int]:
    """What halving gives, largest first."""
    found = []
    while batch > 1:
        batch //= 2
        found.append(batch)
    return found


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:3]))
    return f"BatchNorm that trains ({shown}{f' and {len(names) - 3} more' if len(names) > 3 else ''})"


def _less(stage: Stage, number: int, batch: int, before: int, reason: str) -> str:
    parts = "" if before == batch else f", computed in parts of {before}"
    return (
        f"Stage {number + 1} (at={stage.at!r}) takes more memory than there is, with batches of {batch} images{parts}, "
        f"and cannot be divided further: {reason}. Make the data with `batch_size={max(1, batch // 2)}` or with a "
        f"smaller `image_size`, for a new `run_dir`."
    )


def brief(error: Any) -> str:
    """The first line of what an error says."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

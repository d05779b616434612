"""Whether a stage trains on cached features or on images; the one place where that is decided."""

import logging
from pathlib import Path
from typing import Any

from kertl.features import plan, plan_of
from kertl.hardware import replicas
from kertl.model import refuse_other_pictures
from kertl.recipe import Stage
from kertl.training._given import Given
from kertl.training._learner import Learner

_logger = logging.getLogger(__name__)

LIVE: dict[str, Any] = {"features": "live"}


def choose(
    learner: Learner, given: Given, stage: Stage, *, cache_dir: str | Path | None = None, measured: bool = True
) -> dict[str, Any]:
    """What to train a stage on, and why: `features` is "memory", "disk" or "live".

    Args:
        learner: What is trained, at the size of the stage.
        given: The images, as the stage has them.
        stage: The stage.
        cache_dir: Where features may be cached in files.
        measured: Whether the cost of either way is logged, which takes some forward passes to measure.

    Raises:
        ValueError: If the images are not of the size and channels that the model takes, or the stage asks for cached
            features and cannot have them.
    """
    graph = learner.chain.graph
    refuse_other_pictures(learner.chain.model_name, graph.shapes[graph.input], given.data)
    first = learner.first_trained(stage)
    cache = True if stage.solver == "exact" else stage.cache
    if first == 0 or cache is False or stage.cutmix or stage.quantize or (replicas() > 1 and cache == "auto"):
        return LIVE
    parts = [given.pool] if given.pool else [given.data.train, given.data.validation]
    images = sum(part.num_examples for part in parts if part is not None)
    asked: dict[str, Any] = {
        "epochs": stage.epochs,
        "views": stage.views,
        "augmented": stage.augment != "none",
        "cache": cache,
        "cache_dir": cache_dir,
    }
    shapes = [learner.chain.graph.shapes[ref] for ref in learner.chain.crossing(first)]
    if not measured and all(None not in shape for shape in shapes):
        sums = plan_of([tuple(map(int, shape)) for shape in shapes], images, **asked)  # type: ignore[arg-type]
    else:
        sums = plan(learner.prefix(stage), learner.suffix(stage), images, given.data.train.reader.shape, **asked)
        for line in sums.lines():
            _logger.info(line)
    return {"features": sums.choice, "files": sums.fits_on_disk, "reason": sums.reason, "engine": "auto"}

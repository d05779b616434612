"""What a run gives in the end, and would fail at after all the training: refused before it begins."""

from pathlib import Path

import keras

from kertl._checks import complain, one_of
from kertl._domains import TASKS
from kertl.backbones import why_not_saved
from kertl.data import ImageData
from kertl.groups import copied, find_chain
from kertl.hardware import Team


def refuse_unsaved(model: keras.Model, run_dir: str | Path | None, *, averages: bool) -> None:
    """Raise if the model of the run could not be saved in its directory, or not be put together from copies.

    Args:
        model: The model to train.
        run_dir: The directory; None if there is none, and nothing is saved.
        averages: Whether the run gives the mean of its stages, whose layers are copies outside of their classes.

    Raises:
        ValueError: If so.
    """
    given = model
    if averages:
        chain = copied(find_chain(model), 0)
        given = chain.piece(0, len(chain.groups), model.name)
    reason = None if run_dir is None else why_not_saved(given)
    if reason is None:
        return
    if averages and why_not_saved(model) is None:
        advice = (
            f"Its layers do not load from a file without the rest of it ({reason}). Take 'good', which averages none."
        )
        raise complain("recipe", "one that does not average its stages", "average=True", advice)
    advice = (
        f"Saving it as Keras does fails ({reason}). A layer of your own needs `get_config`; a backbone of KerasHub or "
        "KerasCV may need to be one layer, as it is under `head=kertl.Head(depths='last')`. Without `run_dir=` it can "
        "be trained all the same."
    )
    raise complain("model", "one that can be saved and loaded again, as its run is", model.name, advice)


def check_keep(keep_features: bool, run_dir: str | Path | None, data: ImageData, team: Team, *, averages: bool) -> None:
    """Raise if features are to be kept, and there is no place for them, or nothing that could use them.

    Raises:
        ValueError: If so.
    """
    if one_of("keep_features", keep_features, (True, False)) and (
        run_dir is None or data.task not in TASKS or team.size > 1 or averages
    ):
        accepted = (
            "False without `run_dir`, on several workers, for a mean of stages (the recipe 'best'), and for tasks "
            f"other than {' and '.join(TASKS)}"
        )
        raise complain("keep_features", accepted, keep_features, code="combination")

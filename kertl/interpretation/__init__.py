"""Looking into a trained model: what it gets wrong, how sure it is, and what it looks at.

interpret   metrics with intervals, confusions, top losses, doubtful labels, near-duplicates, in one result
calibrate   makes probabilities as sure as they are right
grad_cam    which places of an image speak for a class
attention_rollout   which places a transformer looks at
where_it_looks      the one of these two that suits a model
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.interpretation._calibration import Bin, Calibration, calibrate
    from kertl.interpretation._grad_cam import grad_cam
    from kertl.interpretation._interpret import interpret
    from kertl.interpretation._interpretation import (
        AlikeImages,
        Confusion,
        Difference,
        DoubtfulLabel,
        ImageLoss,
        Interpretation,
    )
    from kertl.interpretation._maps import NothingToShowError
    from kertl.interpretation._neighbours import Neighbours, pooled_features
    from kertl.interpretation._rollout import attention_rollout, where_it_looks

__all__ = [
    "AlikeImages",
    "Bin",
    "Calibration",
    "Confusion",
    "Difference",
    "DoubtfulLabel",
    "ImageLoss",
    "Interpretation",
    "Neighbours",
    "NothingToShowError",
    "attention_rollout",
    "calibrate",
    "grad_cam",
    "interpret",
    "pooled_features",
    "where_it_looks",
]

# The names that each module defines.
_HOMES = {
    "._calibration": ("Bin", "Calibration", "calibrate"),
    "._grad_cam": ("grad_cam",),
    "._interpret": ("interpret",),
    "._interpretation": ("AlikeImages", "Confusion", "Difference", "DoubtfulLabel", "ImageLoss", "Interpretation"),
    "._maps": ("NothingToShowError",),
    "._neighbours": ("Neighbours", "pooled_features"),
    "._rollout": ("attention_rollout", "where_it_looks"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

"""Looking into a trained model: what it gets wrong, how sure it is, and what it looks at.

interpret   metrics with intervals, confusions, top losses, doubtful labels, near-duplicates, in one result
calibrate   makes probabilities as sure as they are right
grad_cam    which places of an image speak for a class
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.interpretation._calibration import Bin, Calibration, calibrate
    from kertl.interpretation._grad_cam import NothingToShowError, grad_cam
    from kertl.interpretation._interpret import interpret
    from kertl.interpretation._interpretation import (
        AlikeImages,
        Confusion,
        Difference,
        DoubtfulLabel,
        ImageLoss,
        Interpretation,
    )

__all__ = [
    "AlikeImages",
    "Bin",
    "Calibration",
    "Confusion",
    "Difference",
    "DoubtfulLabel",
    "ImageLoss",
    "Interpretation",
    "NothingToShowError",
    "calibrate",
    "grad_cam",
    "interpret",
]

# The names that each module defines.
_HOMES = {
    "._calibration": ("Bin", "Calibration", "calibrate"),
    "._grad_cam": ("NothingToShowError", "grad_cam"),
    "._interpret": ("interpret",),
    "._interpretation": ("AlikeImages", "Confusion", "Difference", "DoubtfulLabel", "ImageLoss", "Interpretation"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

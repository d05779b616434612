"""Studies that one extraction makes nearly free: many trainings on the same features."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.studies._alarm import Alarm, alarm
    from kertl.studies._cross_validate import cross_validate
    from kertl.studies._cross_validation import CrossValidation, Fold
    from kertl.studies._curve import LearningCurve, Point
    from kertl.studies._domain import FEWEST, domain_images, refuse_few
    from kertl.studies._folds import folds_of
    from kertl.studies._label_shift import above_chance, estimated_shares
    from kertl.studies._learning_curve import learning_curve
    from kertl.studies._power_law import PowerLaw
    from kertl.studies._shift import shift
    from kertl.studies._shift_result import Far, LabelShift, Shift, ShiftAt
    from kertl.studies._two_samples import Components, Distances, compare, domain_scores, mmd_test
    from kertl.studies._verify import Verification, verify_cached

__all__ = [
    "FEWEST",
    "Alarm",
    "Components",
    "CrossValidation",
    "Distances",
    "Far",
    "Fold",
    "LabelShift",
    "LearningCurve",
    "Point",
    "PowerLaw",
    "Shift",
    "ShiftAt",
    "Verification",
    "above_chance",
    "alarm",
    "compare",
    "cross_validate",
    "domain_images",
    "domain_scores",
    "estimated_shares",
    "folds_of",
    "learning_curve",
    "mmd_test",
    "refuse_few",
    "shift",
    "verify_cached",
]

# The names that each module defines.
_HOMES = {
    "._alarm": ("Alarm", "alarm"),
    "._cross_validate": ("cross_validate",),
    "._cross_validation": ("CrossValidation", "Fold"),
    "._curve": ("LearningCurve", "Point"),
    "._domain": ("FEWEST", "domain_images", "refuse_few"),
    "._folds": ("folds_of",),
    "._label_shift": ("above_chance", "estimated_shares"),
    "._learning_curve": ("learning_curve",),
    "._power_law": ("PowerLaw",),
    "._shift": ("shift",),
    "._shift_result": ("Far", "LabelShift", "Shift", "ShiftAt"),
    "._two_samples": ("Components", "Distances", "compare", "domain_scores", "mmd_test"),
    "._verify": ("Verification", "verify_cached"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

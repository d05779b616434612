"""What one extraction makes nearly free: many trainings on the same features."""

from kertl.studies._cross_validate import cross_validate
from kertl.studies._cross_validation import CrossValidation, Fold
from kertl.studies._curve import LearningCurve, Point
from kertl.studies._folds import folds_of
from kertl.studies._learning_curve import learning_curve
from kertl.studies._power_law import PowerLaw
from kertl.studies._range_test import stage_range_test
from kertl.studies._trainee import drawing_from, with_head

__all__ = [
    "CrossValidation",
    "Fold",
    "LearningCurve",
    "Point",
    "PowerLaw",
    "cross_validate",
    "drawing_from",
    "folds_of",
    "learning_curve",
    "stage_range_test",
    "with_head",
]

"""Evaluating a model on images that it has not been trained on, and predicting on new ones.

`predict` and `evaluate` take images in many forms, resize them in the way that the model was trained for, and match
classes by name.
"""

from kertl.evaluation._answers import answers
from kertl.evaluation._caution import Caution, cautious
from kertl.evaluation._evaluate import evaluate
from kertl.evaluation._join import join_predictions
from kertl.evaluation._labels import matched, output_names
from kertl.evaluation._pictures import images_for, part_to_evaluate, pictures_of, resize_of
from kertl.evaluation._predict import predict
from kertl.evaluation._run_images import run_images
from kertl.evaluation._thresholds import tune_thresholds
from kertl.evaluation._to_file import predict_to_file

__all__ = [
    "Caution",
    "answers",
    "cautious",
    "evaluate",
    "images_for",
    "join_predictions",
    "matched",
    "output_names",
    "part_to_evaluate",
    "pictures_of",
    "predict",
    "predict_to_file",
    "resize_of",
    "run_images",
    "tune_thresholds",
]

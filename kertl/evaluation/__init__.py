"""Evaluating a model on images that it has not been trained on, and predicting on new ones.

`predict` and `evaluate` take images in many forms, resize them in the way that the model was trained for, and match
classes by name.
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.evaluation._answers import answers
    from kertl.evaluation._caution import Caution, cautious
    from kertl.evaluation._evaluate import evaluate
    from kertl.evaluation._form import images_for, resize_of
    from kertl.evaluation._join import join_predictions
    from kertl.evaluation._labels import matched, output_names
    from kertl.evaluation._pictures import part_to_evaluate, pictures_of
    from kertl.evaluation._predict import predict
    from kertl.evaluation._ray import predict_on_ray
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
    "predict_on_ray",
    "predict_to_file",
    "resize_of",
    "run_images",
    "tune_thresholds",
]

# The names that each module defines.
_HOMES = {
    "._answers": ("answers",),
    "._caution": ("Caution", "cautious"),
    "._evaluate": ("evaluate",),
    "._form": ("images_for", "resize_of"),
    "._join": ("join_predictions",),
    "._labels": ("matched", "output_names"),
    "._pictures": ("part_to_evaluate", "pictures_of"),
    "._predict": ("predict",),
    "._ray": ("predict_on_ray",),
    "._run_images": ("run_images",),
    "._thresholds": ("tune_thresholds",),
    "._to_file": ("predict_to_file",),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

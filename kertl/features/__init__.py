"""Extract once: features that a model's frozen prefix computes from images, for everything that trains on them."""

from kertl._runtimes import openvino_core
from kertl.features._batches import FeatureBatches, feature_batches
from kertl.features._extract import extract
from kertl.features._features import Features
from kertl.features._fitter import EpochFitter
from kertl.features._keys import key_of, prefix_key
from kertl.features._plan import TRAINING, Plan, forward_seconds, plan, plan_of
from kertl.features._projector import write_projector
from kertl.features._versions import all_versions, class_weights, image_batches, judged_batches, training_batches

__all__ = [
    "TRAINING",
    "EpochFitter",
    "FeatureBatches",
    "Features",
    "Plan",
    "all_versions",
    "class_weights",
    "extract",
    "feature_batches",
    "forward_seconds",
    "image_batches",
    "judged_batches",
    "key_of",
    "openvino_core",
    "plan",
    "plan_of",
    "prefix_key",
    "training_batches",
    "write_projector",
]

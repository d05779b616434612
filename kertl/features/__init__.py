"""Extract once: what the frozen prefix of a model makes of the images, computed once and used by all that follows."""

from kertl.features._batches import EpochFitter, FeatureBatches, feature_batches
from kertl.features._extract import extract
from kertl.features._features import Features
from kertl.features._plan import Plan, plan

__all__ = ["EpochFitter", "FeatureBatches", "Features", "Plan", "extract", "feature_batches", "plan"]

"""A domain as the last layer of a classifier sees it: features, which a run keeps and an adaptation reads."""

from kertl._domains._classifier import TASKS, Classifier
from kertl._domains._source import SOURCE_FILE, SourceFeatures, labels_of

__all__ = ["SOURCE_FILE", "TASKS", "Classifier", "SourceFeatures", "labels_of"]

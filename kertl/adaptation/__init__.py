"""A trained classifier on images of another domain: other equipment, another place, another style."""

from kertl._domains import SourceFeatures
from kertl.adaptation._adapt import METHODS, adapt
from kertl.adaptation._maps import FeatureMap, aligned, coral
from kertl.adaptation._result import Adaptation, Judged

__all__ = ["METHODS", "Adaptation", "FeatureMap", "Judged", "SourceFeatures", "adapt", "aligned", "coral"]

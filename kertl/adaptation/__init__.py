"""A trained classifier on images of another domain: other equipment, another place, another style."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl._domains import SourceFeatures
    from kertl.adaptation._adapt import METHODS, adapt
    from kertl.adaptation._maps import FeatureMap, aligned, coral
    from kertl.adaptation._result import Adaptation, Judged

__all__ = ["METHODS", "Adaptation", "FeatureMap", "Judged", "SourceFeatures", "adapt", "aligned", "coral"]

# The names that each module defines.
_HOMES = {
    "._adapt": ("METHODS", "adapt"),
    "._maps": ("FeatureMap", "aligned", "coral"),
    "._result": ("Adaptation", "Judged"),
    "kertl._domains": ("SourceFeatures",),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

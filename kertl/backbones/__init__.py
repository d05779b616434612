"""Pretrained backbones without their top, with their preprocessing inside: pictures of 0..255 in, features out."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.backbones._applications import APPLICATIONS, Application, recognise
    from kertl.backbones._files import MODEL_SUFFIXES, load_model_file, not_loaded
    from kertl.backbones._from_trained import told_preprocessing
    from kertl.backbones._load import load_backbone
    from kertl.backbones._preprocessing import KINDS
    from kertl.backbones._presets import preset_names
    from kertl.backbones._resize import store_positions
    from kertl.backbones._saving import why_not_saved
    from kertl.backbones._trust import refuse_nan

__all__ = [
    "APPLICATIONS",
    "KINDS",
    "MODEL_SUFFIXES",
    "Application",
    "load_backbone",
    "load_model_file",
    "not_loaded",
    "preset_names",
    "recognise",
    "refuse_nan",
    "store_positions",
    "told_preprocessing",
    "why_not_saved",
]

# The names that each module defines.
_HOMES = {
    "._applications": ("APPLICATIONS", "Application", "recognise"),
    "._files": ("MODEL_SUFFIXES", "load_model_file", "not_loaded"),
    "._from_trained": ("told_preprocessing",),
    "._load": ("load_backbone",),
    "._preprocessing": ("KINDS",),
    "._presets": ("preset_names",),
    "._resize": ("store_positions",),
    "._saving": ("why_not_saved",),
    "._trust": ("refuse_nan",),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

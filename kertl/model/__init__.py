"""The model: cut at a boundary, frozen, built with a head, saved and loaded."""

from kertl.model._architecture import architecture
from kertl.model._boundary import cut, freeze, set_trainable, split
from kertl.model._build import build
from kertl.model._files import load, save
from kertl.model._info import ModelInfo, model_info
from kertl.model._stage_model import FrozenPrefix, stage_model

__all__ = [
    "FrozenPrefix",
    "ModelInfo",
    "architecture",
    "build",
    "cut",
    "freeze",
    "load",
    "model_info",
    "save",
    "set_trainable",
    "split",
    "stage_model",
]

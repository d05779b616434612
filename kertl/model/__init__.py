"""The model: cut at a boundary, frozen, built with a head, saved and loaded."""

from kertl.model._boundary import cut, freeze, set_trainable, split
from kertl.model._stage_model import FrozenPrefix, stage_model

__all__ = ["FrozenPrefix", "cut", "freeze", "set_trainable", "split", "stage_model"]

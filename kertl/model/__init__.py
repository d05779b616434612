"""The model: cut at a boundary, frozen, built with a head, saved and loaded."""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.model._architecture import architecture, layer_config
    from kertl.model._at_size import at_size
    from kertl.model._averaged import averaged, give_member
    from kertl.model._boundary import cut, drop_compiled, flags_kept, freeze, set_trainable, split, train_groups
    from kertl.model._build import build
    from kertl.model._describe import describe, with_preprocessing
    from kertl.model._extend import extend_classes
    from kertl.model._files import load, save
    from kertl.model._head import head_answers, head_on
    from kertl.model._info import (
        DEFAULT_THRESHOLD,
        ModelInfo,
        TrainedInt8,
        keep_info,
        model_info,
        picture_shape,
        refuse_other_pictures,
        set_model_info,
    )
    from kertl.model._low_rank import add_factors, low_rank_layers, merge_factors, train_factors
    from kertl.model._note_data import note_data
    from kertl.model._outputs import UNITS_LAYER, output_layer, target_spreads
    from kertl.model._precision import computing_in
    from kertl.model._stage_model import FrozenPrefix, InferenceMode, stage_model
    from kertl.model._task_of import task_of
    from kertl.model._trained_on import count_trained_on, note_trained_on

__all__ = [
    "DEFAULT_THRESHOLD",
    "UNITS_LAYER",
    "FrozenPrefix",
    "InferenceMode",
    "ModelInfo",
    "TrainedInt8",
    "add_factors",
    "architecture",
    "at_size",
    "averaged",
    "build",
    "computing_in",
    "count_trained_on",
    "cut",
    "describe",
    "drop_compiled",
    "extend_classes",
    "flags_kept",
    "freeze",
    "give_member",
    "head_answers",
    "head_on",
    "keep_info",
    "layer_config",
    "load",
    "low_rank_layers",
    "merge_factors",
    "model_info",
    "note_data",
    "note_trained_on",
    "output_layer",
    "picture_shape",
    "refuse_other_pictures",
    "save",
    "set_model_info",
    "set_trainable",
    "split",
    "stage_model",
    "target_spreads",
    "task_of",
    "train_factors",
    "train_groups",
    "with_preprocessing",
]

# The names that each module defines.
_HOMES = {
    "._architecture": ("architecture", "layer_config"),
    "._at_size": ("at_size",),
    "._averaged": ("averaged", "give_member"),
    "._boundary": ("cut", "drop_compiled", "flags_kept", "freeze", "set_trainable", "split", "train_groups"),
    "._build": ("build",),
    "._describe": ("describe", "with_preprocessing"),
    "._extend": ("extend_classes",),
    "._files": ("load", "save"),
    "._head": ("head_answers", "head_on"),
    "._info": (
        "DEFAULT_THRESHOLD",
        "ModelInfo",
        "TrainedInt8",
        "keep_info",
        "model_info",
        "picture_shape",
        "refuse_other_pictures",
        "set_model_info",
    ),
    "._low_rank": ("add_factors", "low_rank_layers", "merge_factors", "train_factors"),
    "._note_data": ("note_data",),
    "._outputs": ("UNITS_LAYER", "output_layer", "target_spreads"),
    "._precision": ("computing_in",),
    "._stage_model": ("FrozenPrefix", "InferenceMode", "stage_model"),
    "._task_of": ("task_of",),
    "._trained_on": ("count_trained_on", "note_trained_on"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

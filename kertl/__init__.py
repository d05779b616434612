"""kertl: transfer learning for Keras 3.

The public names are loaded when first used, so that `import kertl` imports neither Keras nor TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

# public name -> the module that defines it
_HOMES: dict[str, str] = {
    "Head": "kertl.heads",
    "LRRangeTest": "kertl.range_test",
    "Recipe": "kertl.recipe",
    "Run": "kertl.runner",
    "Stage": "kertl.recipe",
    "answers": "kertl.evaluation",
    "evaluate": "kertl.evaluation",
    "extend_classes": "kertl.model",
    "fine_tune": "kertl.runner",
    "predict": "kertl.evaluation",
    "LayerGroup": "kertl.groups",
    "baselines": "kertl.probes",
    "build": "kertl.model",
    "check": "kertl.compatibility",
    "cross_validate": "kertl.studies",
    "extract": "kertl.features",
    "freeze": "kertl.model",
    "gradual_unfreezing": "kertl.runner",
    "learning_curve": "kertl.studies",
    "load": "kertl.model",
    "load_backbone": "kertl.backbones",
    "save": "kertl.model",
    "layer_groups": "kertl.groups",
    "lr_range_test": "kertl.range_test",
    "split": "kertl.model",
    "stage_model": "kertl.model",
    "tune_thresholds": "kertl.evaluation",
    "verify_cached": "kertl.studies",
}

# modules that are public themselves
_MODULES = (
    "backbones",
    "callbacks",
    "data",
    "errors",
    "groups",
    "heads",
    "model",
    "optimizers",
    "recipe",
    "schedules",
    "search",
    "tasks",
)

__all__ = ["__version__", *sorted(_HOMES), *_MODULES]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"kertl.{name}")
    else:
        raise AttributeError(f"module 'kertl' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_MODULES])

"""kertl: transfer learning for Keras 3.

The public names are loaded when first used, so that `import kertl` imports neither Keras nor TensorFlow. Type checkers
and editors read them from the imports under `TYPE_CHECKING`, which say the same as the two tables below.
"""

import importlib as _importlib
import typing as _typing

__version__ = "0.2.0"

if _typing.TYPE_CHECKING:
    from kertl import adaptation as adaptation
    from kertl import backbones as backbones
    from kertl import callbacks as callbacks
    from kertl import compatibility as compatibility
    from kertl import data as data
    from kertl import demo as demo
    from kertl import diagnosis as diagnosis
    from kertl import errors as errors
    from kertl import evaluation as evaluation
    from kertl import exporting as exporting
    from kertl import features as features
    from kertl import groups as groups
    from kertl import hardware as hardware
    from kertl import heads as heads
    from kertl import inspection as inspection
    from kertl import interpretation as interpretation
    from kertl import model as model
    from kertl import optimizers as optimizers
    from kertl import probes as probes
    from kertl import range_test as range_test
    from kertl import recipe as recipe
    from kertl import results as results
    from kertl import runner as runner
    from kertl import schedules as schedules
    from kertl import search as search
    from kertl import studies as studies
    from kertl import tasks as tasks
    from kertl import tpu as tpu
    from kertl import training as training
    from kertl.adaptation import adapt as adapt
    from kertl.backbones import load_backbone as load_backbone
    from kertl.compatibility import check as check
    from kertl.diagnosis import diagnose as diagnose
    from kertl.evaluation import answers as answers
    from kertl.evaluation import evaluate as evaluate
    from kertl.evaluation import predict as predict
    from kertl.evaluation import tune_thresholds as tune_thresholds
    from kertl.exporting import benchmark as benchmark
    from kertl.exporting import export as export
    from kertl.features import extract as extract
    from kertl.groups import LayerGroup as LayerGroup
    from kertl.groups import layer_groups as layer_groups
    from kertl.heads import Head as Head
    from kertl.inspection import inspect as inspect
    from kertl.inspection import verify as verify
    from kertl.interpretation import calibrate as calibrate
    from kertl.interpretation import interpret as interpret
    from kertl.model import build as build
    from kertl.model import extend_classes as extend_classes
    from kertl.model import freeze as freeze
    from kertl.model import load as load
    from kertl.model import save as save
    from kertl.model import split as split
    from kertl.model import stage_model as stage_model
    from kertl.probes import baselines as baselines
    from kertl.range_test import LRRangeTest as LRRangeTest
    from kertl.range_test import lr_range_test as lr_range_test
    from kertl.recipe import Recipe as Recipe
    from kertl.recipe import Stage as Stage
    from kertl.runner import Run as Run
    from kertl.runner import fine_tune as fine_tune
    from kertl.runner import gradual_unfreezing as gradual_unfreezing
    from kertl.studies import cross_validate as cross_validate
    from kertl.studies import learning_curve as learning_curve
    from kertl.studies import shift as shift
    from kertl.studies import verify_cached as verify_cached

# public name -> the module that defines it
_HOMES = {
    "Head": "heads",
    "LRRangeTest": "range_test",
    "LayerGroup": "groups",
    "Recipe": "recipe",
    "Run": "runner",
    "Stage": "recipe",
    "adapt": "adaptation",
    "answers": "evaluation",
    "baselines": "probes",
    "benchmark": "exporting",
    "build": "model",
    "calibrate": "interpretation",
    "check": "compatibility",
    "cross_validate": "studies",
    "diagnose": "diagnosis",
    "evaluate": "evaluation",
    "export": "exporting",
    "extend_classes": "model",
    "extract": "features",
    "fine_tune": "runner",
    "freeze": "model",
    "gradual_unfreezing": "runner",
    "inspect": "inspection",
    "interpret": "interpretation",
    "layer_groups": "groups",
    "learning_curve": "studies",
    "load": "model",
    "load_backbone": "backbones",
    "lr_range_test": "range_test",
    "predict": "evaluation",
    "save": "model",
    "shift": "studies",
    "split": "model",
    "stage_model": "model",
    "tune_thresholds": "evaluation",
    "verify": "inspection",
    "verify_cached": "studies",
}

# modules that are public themselves
_MODULES = (
    "adaptation",
    "backbones",
    "callbacks",
    "compatibility",
    "data",
    "demo",
    "diagnosis",
    "errors",
    "evaluation",
    "exporting",
    "features",
    "groups",
    "hardware",
    "heads",
    "inspection",
    "interpretation",
    "model",
    "optimizers",
    "probes",
    "range_test",
    "recipe",
    "results",
    "runner",
    "schedules",
    "search",
    "studies",
    "tasks",
    "tpu",
    "training",
)

if not _typing.TYPE_CHECKING:  # else any name at all would pass, as one of type `Any`
    __all__ = ["__version__", *_HOMES, *_MODULES]  # noqa: PLE0604

    def __getattr__(name: str) -> _typing.Any:
        if name in _HOMES:
            value = getattr(_importlib.import_module(f"kertl.{_HOMES[name]}"), name)
        elif name in _MODULES:
            value = _importlib.import_module(f"kertl.{name}")
        else:
            raise AttributeError(f"module 'kertl' has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(__all__)

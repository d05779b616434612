"""Keras callbacks, one per file, each usable in any `fit`."""

from kertl.callbacks._below_validation import StopBelowValidation
from kertl.callbacks._best_average import BestAverage
from kertl.callbacks._best_weights import BestWeights
from kertl.callbacks._data_epoch import DataEpoch
from kertl.callbacks._diagnose import Diagnose
from kertl.callbacks._divergence import StopOnDivergence
from kertl.callbacks._epoch_seeds import EpochSeeds
from kertl.callbacks._group_rates import GroupRates
from kertl.callbacks._held import HeldExamples, spread
from kertl.callbacks._judged import write_predictions
from kertl.callbacks._momentum_cycle import MomentumCycle
from kertl.callbacks._profiler import Profiler, check_profile_steps
from kertl.callbacks._state import forgets, get_state, set_state
from kertl.callbacks._tensorboard import TensorBoard

__all__ = [
    "BestAverage",
    "BestWeights",
    "DataEpoch",
    "Diagnose",
    "EpochSeeds",
    "GroupRates",
    "HeldExamples",
    "MomentumCycle",
    "Profiler",
    "StopBelowValidation",
    "StopOnDivergence",
    "TensorBoard",
    "check_profile_steps",
    "forgets",
    "get_state",
    "set_state",
    "spread",
    "write_predictions",
]

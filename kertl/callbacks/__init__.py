"""Keras callbacks, one per file, each usable in anybody's `fit`."""

from kertl.callbacks._best_weights import BestWeights
from kertl.callbacks._data_epoch import DataEpoch
from kertl.callbacks._divergence import StopOnDivergence
from kertl.callbacks._epoch_seeds import EpochSeeds
from kertl.callbacks._group_rates import GroupRates
from kertl.callbacks._momentum_cycle import MomentumCycle
from kertl.callbacks._state import forgets, get_state, set_state

__all__ = [
    "BestWeights",
    "DataEpoch",
    "EpochSeeds",
    "GroupRates",
    "MomentumCycle",
    "StopOnDivergence",
    "forgets",
    "get_state",
    "set_state",
]

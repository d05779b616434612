"""Training a model for computing in 8 bits, and the model that comes of it.

The layers of the model itself are trained, through a copy of its graph in which weights and activations are rounded as
they will be: so the model stays a plain one, and what is added is the range of each activation.

plan_of          a chain as the operations that 8 bits know, BatchNorm folded into what comes before it
FakeQuantised    these, rounded, as a layer that trains
FreezeRanges     a callback that ends the observation of ranges
Exact            the same in whole numbers, as the runtime computes it
baked            these with weights as constants on their grid, for a converter
note_ranges      the ranges noted in a model, with which weights they go
mixed_network    a rounded network with some layer groups in float
noted_network    the rounded network of a model that was trained for 8 bits
"""

from kertl.quantization._baked import baked
from kertl.quantization._exact import Exact
from kertl.quantization._freeze import FreezeRanges
from kertl.quantization._grid import STEP
from kertl.quantization._mixed import each_group_rounded, mixed_network, predicted, refuse_other_groups
from kertl.quantization._network import FakeQuantised
from kertl.quantization._node import Node
from kertl.quantization._noted import note_ranges, noted_network
from kertl.quantization._plan import Plan, plan_of

__all__ = [
    "STEP",
    "Exact",
    "FakeQuantised",
    "FreezeRanges",
    "Node",
    "Plan",
    "baked",
    "each_group_rounded",
    "mixed_network",
    "note_ranges",
    "noted_network",
    "plan_of",
    "predicted",
    "refuse_other_groups",
]

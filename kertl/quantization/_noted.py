"""The ranges that a training for 8 bits found, noted in the model beside the checksum of the weights they go with."""

import dataclasses

import keras

from kertl.groups import find_chain
from kertl.model import TrainedInt8, model_info, set_model_info
from kertl.quantization._network import FakeQuantised
from kertl.quantization._plan import Plan, plan_of
from kertl.run_files import sha256_of_arrays


def note_ranges(model: keras.Model, network: FakeQuantised) -> None:
    """Note the ranges of a network in the model whose layers it shares; without what kertl knows of it, nothing is."""
    info = model_info(model)
    if info is not None:
        ranges = tuple((float(low), float(high)) for low, high in keras.ops.convert_to_numpy(network.ranges))
        set_model_info(model, dataclasses.replace(info, int8=TrainedInt8(ranges, _checksum(network.plan))))


def noted_network(model: keras.Model) -> FakeQuantised | None:
    """The rounded network of a model that was trained for 8 bits; None if it was not, or its weights changed since."""
    info = model_info(model)
    if info is None or info.int8 is None:
        return None
    plan = plan_of(find_chain(model))
    if plan.ranges != len(info.int8.ranges) or _checksum(plan) != info.int8.weights:
        return None
    network = FakeQuantised(plan)
    network.give_ranges(info.int8.ranges)
    return network


def _checksum(plan: Plan) -> str:
    """The SHA-256 of all weights."""
    variables = (variable for layer in plan.layers for variable in layer.variables)
    return sha256_of_arrays(keras.ops.convert_to_numpy(one) for one in variables if "float" in str(one.dtype))

"""The rounded network with some layer groups in float, and what rounding does to each group alone."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np

from kertl._checks import complain
from kertl.groups import Chain, find_chain
from kertl.quantization._network import FakeQuantised
from kertl.quantization._noted import noted_network
from kertl.quantization._plan import plan_of

_BATCH = 32


def mixed_network(model: keras.Model, float_groups: Sequence[str], samples: np.ndarray) -> FakeQuantised:
    """The rounded network with some groups in float.

    Args:
        model: The model; if it was trained for 8 bits, its ranges are those of that training.
        float_groups: Names of the groups that stay in float.
        samples: Pictures of 0..255, on which ranges are measured if there are none; shape `(n, height, width, 3)`.

    Raises:
        ValueError: If there is no such group, or a layer that 8 bits do not know.
    """
    chain = refuse_other_groups(model, float_groups)
    trained, plan = noted_network(model), plan_of(chain)
    network = FakeQuantised(plan.with_floats(_places(chain, float_groups)))
    if trained is None:
        network.calibrate(batches(samples))
    else:
        network.ranges.assign(trained.ranges)
    return network


def refuse_other_groups(model: keras.Model, float_groups: Sequence[str]) -> Chain:
    """The chain of a model that 8 bits know, if it has groups of these names.

    Raises:
        ValueError: If there is no such group, or a layer that 8 bits do not know.
    """
    chain = find_chain(model)
    names = [group.name for group in chain.groups]
    for name in float_groups:
        if name not in names:
            raise complain("float_groups", f"names of layer groups: {', '.join(map(repr, names))}", name)
    plan_of(chain)
    return chain


def each_group_rounded(model: keras.Model, samples: np.ndarray) -> dict[str, np.ndarray]:
    """The predictions for some pictures with one group in 8 bits and the others in float, by the name of the group."""
    chain = find_chain(model)
    names = [group.name for group in chain.groups]
    network = mixed_network(model, (), samples)
    whole, found = network.plan, {}
    for name in names:
        network.plan = whole.with_floats(_places(chain, [other for other in names if other != name]))
        found[name] = predicted(network, samples)
    return found


def predicted(network: FakeQuantised, pictures: np.ndarray) -> np.ndarray:
    """The predictions of a network for pictures of 0..255."""
    return np.concatenate([keras.ops.convert_to_numpy(network(batch)) for batch in batches(pictures)])


def batches(pictures: np.ndarray) -> Iterable[np.ndarray]:
    """Pictures, some at a time."""
    return [pictures[start : start + _BATCH].astype("float32") for start in range(0, len(pictures), _BATCH)]


def _places(chain: Chain, names: Sequence[str]) -> set[int]:
    """The steps of some groups."""
    places: set[int] = set()
    for number, group in enumerate(chain.groups):
        if group.name in names:
            begin = len(chain.steps(0, number))
            places |= set(range(begin, begin + len(chain.steps(number, number + 1))))
    return places

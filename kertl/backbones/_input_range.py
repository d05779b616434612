"""Which pixels a trained model takes, told by the arithmetic in front of its first layer with a kernel.

That arithmetic is run on pictures of one colour. If pictures of 0..255 come out in the range that networks are trained
on, the model scales them itself; if only those of 0..1 or -1..1 do, they were scaled before the model.
"""

from typing import Any

import keras
import numpy as np

from kertl.backbones._channels import makes_three_channels
from kertl.groups import find_chain, replay

# How wide the inputs of a network's first kernel are, from black to white.
_NARROWEST, _WIDEST = 0.4, 10.0
_SLIGHT = 0.01


def kind_by_graph(model: keras.Model) -> str | None:
    """The preprocessing that the graph of a model leaves to others: "none", "unit" or "tf"; None if it does not tell.

    Args:
        model: A functional or sequential model with one input; a rescaling, `Normalization`, BatchNorm or arithmetic
            at its start tells, a change in the order of channels does not.
    """
    entry = _entry(model)
    if entry is None:
        return None
    black, white = entry
    span = white - black  # what one step of the pixels' own unit becomes
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = -black / span  # the pixel that becomes 0
    if abs(black) < _SLIGHT and abs(span - 1) < _SLIGHT:  # nothing happens, or a BatchNorm that has seen nothing
        return None
    if _NARROWEST <= 255 * abs(span) <= _WIDEST or 20 < middle < 235:
        return "none"
    if _NARROWEST <= abs(span) <= _WIDEST:
        return "unit" if 0.1 < middle < 0.9 else "tf" if abs(middle) <= 0.1 else None
    return None


def _entry(model: keras.Model) -> tuple[float, float] | None:
    """What pixels of 0 and of 1 are where the first layer with a kernel begins, as means over the channels."""
    graph = find_chain(model).graph
    steps, first = [], None
    for step in graph.steps:
        if any(len(variable.shape) > 1 for variable in step.variables) and not makes_three_channels(step):
            first = step
            break
        steps.append(step)
    if first is None or not steps or first.inputs == (graph.input,):
        return None
    height, width, channels = (side or 32 for side in graph.shapes[graph.input])
    pixels = np.stack([np.zeros((height, width, channels)), np.ones((height, width, channels))]).astype("float32")
    inputs = keras.Input(graph.shapes[graph.input], dtype=graph.input_dtype)
    entry = keras.Model(inputs, replay(steps, {graph.input: inputs}, [first.inputs[0]])[0])
    centre = keras.ops.convert_to_numpy(entry(pixels, training=False))  # augmentation is random unless told
    while centre.ndim > 2:
        centre = centre[:, centre.shape[1] // 2]
    black, white = centre.mean(axis=-1)
    return float(black), float(white)


def assumed(kind: str, model: Any, why: str) -> str:
    """A sentence on the pixels that a model is given, and how to change that."""
    return (
        f"{model.name!r} is given {_IN_WORDS[kind]}, because {why}. If it was trained otherwise, pass `preprocessing=`."
    )


_IN_WORDS = {
    "none": "pixels of 0..255 as they are",
    "unit": "pixels scaled to 0..1 ('unit')",
    "tf": "pixels scaled to -1..1 ('tf')",
    "torch": "pixels scaled to 0..1, then by ImageNet's mean and standard deviation ('torch')",
    "caffe": "pixels in BGR minus ImageNet's mean ('caffe')",
}

"""Which pixels a trained model takes, told by the arithmetic in front of its first layer with a kernel.

That arithmetic is run on pictures of one colour. If pictures of 0..255 come out in the range that networks are trained
on, the model scales them itself; if only those of 0..1 or -1..1 do, they were scaled before the model.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kertl._checks import named
from kertl.backbones._channels import makes_three_channels
from kertl.groups import find_chain, replay

# How wide the inputs of a network's first kernel are, from black to white: scaled, or in the unit of pixels.
_NARROWEST, _WIDEST = 0.4, 10.0
_IN_PIXELS = (100.0, 300.0)
_SLIGHT = 0.01
_LEVELS = (0.0, 1.0, 64.0, 128.0, 255.0)


@dataclass(frozen=True)
class Entry:
    """What happens to pixels at the start of a model.

    Attributes:
        arithmetic: Whether anything happens to them; a change in the order of channels is nothing.
        kind: The preprocessing that is left to others, "none", "unit" or "tf"; None if the arithmetic does not tell.
    """

    arithmetic: bool
    kind: str | None = None


def entry_of(model: keras.Model) -> Entry:
    """What a model does to its pixels before its first layer with a kernel.

    Args:
        model: A functional or sequential model with one input; rescaling, normalisation, BatchNorm and operations are
            arithmetic.
    """
    levels = _at_first_kernel(model)
    if levels is None:
        return Entry(False)
    black, span = levels[0], levels[1] - levels[0]
    affine = np.isfinite(levels).all() and np.allclose(levels, black + span * np.array(_LEVELS), rtol=1e-3, atol=1e-4)
    if not affine or abs(span) < 1e-9:
        return Entry(True)
    if abs(black) < _SLIGHT and abs(span - 1) < _SLIGHT:  # nothing happens, or a BatchNorm that has seen nothing
        return Entry(False)
    return Entry(True, _kind(black, abs(span), -black / span))


def _kind(black: float, span: float, middle: float) -> str | None:
    """The kind by what black becomes, what one step of the pixels' unit becomes, and the pixel that becomes 0."""
    if _NARROWEST <= 255 * span <= _WIDEST:
        scaled = black == 0 and 255 * span <= 2 + _SLIGHT  # to 0..1 or 0..2
        return "none" if scaled or 5 < middle < 250 else None
    if 20 < middle < 235:
        return "none"
    narrow = _NARROWEST <= span <= _WIDEST or _IN_PIXELS[0] <= span <= _IN_PIXELS[1]
    if narrow and 0.02 < middle < 0.95:
        return "unit"
    return "tf" if _NARROWEST <= span <= _WIDEST and -0.95 < middle < -0.02 else None


def _at_first_kernel(model: keras.Model) -> np.ndarray | None:
    """What pixels of `_LEVELS` are where the first layer with a kernel begins, as means over the channels."""
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
    pixels = (
        np.ones((len(_LEVELS), height, width, channels), "float32") * np.array(_LEVELS, "float32")[:, None, None, None]
    )
    inputs = keras.Input(graph.shapes[graph.input], dtype=graph.input_dtype)
    entry = keras.Model(inputs, replay(steps, {graph.input: inputs}, [first.inputs[0]])[0])
    centre = keras.ops.convert_to_numpy(entry(pixels, training=False))  # augmentation is random unless told
    while centre.ndim > 2:
        centre = centre[:, centre.shape[1] // 2]
    return np.asarray(centre.reshape(len(_LEVELS), -1).mean(axis=-1), "float64")


def assumed(kind: str, model: Any, why: str, advice: str) -> str:
    """A sentence on the pixels that a model is given, and how to change that."""
    return f"{named(model)} is given {_IN_WORDS[kind]}, because {why}. If it was trained otherwise, say so. {advice}"


_IN_WORDS = {
    "none": "pixels of 0..255 as they are",
    "unit": "pixels scaled to 0..1 ('unit')",
    "tf": "pixels scaled to -1..1 ('tf')",
    "torch": "pixels scaled to 0..1, then by ImageNet's mean and standard deviation ('torch')",
    "caffe": "pixels in BGR minus ImageNet's mean ('caffe')",
}

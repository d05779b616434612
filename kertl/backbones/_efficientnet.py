"""The two graphs of `EfficientNetB*`: built for ImageNet weights, it has one more Rescaling than built without.

The same weights give other outputs in the two, and Keras loads them into either. So the graph is built that the file
was written from, or the file is refused where it does not tell.

Reference:
    https://github.com/tensorflow/tensorflow/issues/49930
"""

import math
import re
from pathlib import Path

import h5py
import keras

from kertl.backbones._files import holds_model, load_model_file
from kertl.groups import find_chain, replay

# The standard deviations of ImageNet's channels, by whose roots the one graph divides once more.
_DEVIATIONS = (0.229, 0.224, 0.225)


def is_imagenet_graph(path: Path) -> bool | None:
    """Whether weights come from the graph built for ImageNet weights; None where the file does not tell.

    The files that keras.applications publishes are older than the second Rescaling and belong to the graph that has
    it: in their form a lone Rescaling says nothing.

    Raises:
        WeightsError: If the file cannot be read.
    """
    if holds_model(path):
        steps = find_chain(load_model_file(path)).graph.steps
        return sum(isinstance(step.operation, keras.layers.Rescaling) for step in steps) > 1
    with h5py.File(path) as file:
        published_form = "layer_names" in file.attrs
        names = file.attrs["layer_names"] if published_form else file.get("layers", ())
        rescalings = sum(re.fullmatch(r"rescaling(_\d+)?", str(name)) is not None for name in names)
    if rescalings == 1 and published_form:
        return None
    return {1: False, 2: True}.get(rescalings)


def with_imagenet_graph(model: keras.Model) -> keras.Model:
    """The graph that Keras builds for ImageNet weights, from the one that it builds without; the layers are shared."""
    graph = find_chain(model).graph
    operations = [type(step.operation) for step in graph.steps]
    place = operations.index(keras.layers.Normalization) + 1
    (normalised,) = graph.steps[place - 1].outputs
    inputs = keras.Input(model.input_shape[1:])
    (x,) = replay(graph.steps[:place], {graph.input: inputs}, [normalised])
    x = keras.layers.Rescaling([1 / math.sqrt(deviation) for deviation in _DEVIATIONS], name="rescaling_imagenet")(x)
    (features,) = replay(graph.steps[place:], {normalised: x}, [graph.output])
    return keras.Model(inputs, features, name=model.name)

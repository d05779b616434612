"""A model that looks at each image and its mirror images, as one plain model."""

from typing import Any

import keras

from kertl._checks import complain, one_of
from kertl.groups import find_chain, flatten, replay
from kertl.model._info import keep_info
from kertl.recipe import LOOKS


def mirrored(model: keras.Model, mirror: str) -> keras.Model:
    """A functional model whose head takes the mean of the features of each image and its mirror images.

    It shares the layers of `model`, and has its weights. Its predictions are the same for an image and its mirror
    images, at as many times the cost as there are images to look at.

    Args:
        model: A model of pictures with a head on pooled features.
        mirror: "horizontal": the image and its mirror image. "both": also these two upside down.

    Raises:
        ValueError: If `mirror` is neither, or the head does not take a single vector.

    Example:
        >>> import keras, numpy as np
        >>> from kertl.model import mirrored
        >>> inputs = keras.Input((8, 8, 3))
        >>> features = keras.layers.GlobalMaxPooling2D()(keras.layers.Conv2D(4, 3)(inputs))
        >>> model = keras.Model(inputs, keras.layers.Dense(2)(features))
        >>> twice = mirrored(model, "horizontal")
        >>> pictures = np.random.default_rng(0).uniform(0, 1, (5, 8, 8, 3))
        >>> np.allclose(twice(pictures), twice(pictures[:, :, ::-1]), atol=1e-6)
        True
    """
    one_of("mirror", mirror, [name for name in LOOKS if name])
    graph, place = _before_head(model)
    (features,) = graph.steps[place].inputs
    images = keras.Input(graph.shapes[graph.input], dtype=graph.input_dtype, name="images")
    seen = [images, keras.ops.flip(images, axis=2)]
    if mirror == "both":
        seen += [keras.ops.flip(one, axis=1) for one in seen]
    # As one longer batch: layers are then called once, and the chain of layer groups stays a chain.
    (vectors,) = replay(graph.steps[:place], {graph.input: keras.ops.concatenate(seen, axis=0)}, [features])
    apart = keras.ops.reshape(vectors, (len(seen), -1, vectors.shape[-1]))
    (answers,) = replay(graph.steps[place:], {features: keras.ops.mean(apart, axis=0)}, [graph.output])
    return keep_info(model, keras.Model(images, answers, name=model.name))


def _before_head(model: keras.Model) -> tuple[Any, int]:
    """The graph, in which backbones of other packages stay whole, and the first of its steps that is the head's."""
    chain, graph = find_chain(model), flatten(model, keep_whole=True)
    end = len(chain.backbone_groups)
    entering = chain.crossing(end)
    if chain.has_head and len(entering) == 1 and len(chain.graph.shapes[entering[0]]) == 1:
        first = chain.steps(end, end + 1)[0].operation
        for place, step in enumerate(graph.steps):
            if step.operation is first:
                return graph, place
    raise complain("model", "one with a head that takes a single vector of pooled features", model.name)

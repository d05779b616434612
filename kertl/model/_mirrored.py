"""A model that looks at each image and its mirror images, as one plain model."""

from typing import Any

import keras

from kertl._checks import complain, one_of
from kertl.groups import Chain, find_chain, replay
from kertl.model._info import keep_info
from kertl.recipe import MIRRORS


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
        >>> import kertl, numpy as np
        >>> from kertl.model import mirrored
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> twice = mirrored(model, "horizontal")
        >>> pictures = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
        >>> np.allclose(twice(pictures), twice(pictures[:, :, ::-1]), atol=1e-6)
        True
    """
    one_of("mirror", mirror, MIRRORS)
    chain = find_chain(model)
    features = _vector(chain, model)
    graph, end = chain.graph, len(chain.backbone_groups)
    images = keras.Input(graph.shapes[graph.input], dtype=graph.input_dtype, name="images")
    seen = [images, keras.ops.flip(images, axis=2)]
    if mirror == "both":
        seen += [keras.ops.flip(one, axis=1) for one in seen]
    # As one longer batch: layers are then called once, and the chain of layer groups stays a chain.
    (vectors,) = replay(chain.steps(0, end), {graph.input: keras.ops.concatenate(seen, axis=0)}, [features])
    apart = keras.ops.reshape(vectors, (len(seen), -1, vectors.shape[-1]))
    known = {features: keras.ops.mean(apart, axis=0)}
    (answers,) = replay(chain.steps(end, len(chain.groups)), known, [graph.output])
    return keep_info(model, keras.Model(images, answers, name=model.name))


def _vector(chain: Chain, model: keras.Model) -> Any:
    """The tensor that the head takes."""
    entering = chain.crossing(len(chain.backbone_groups))
    if not chain.has_head or len(entering) > 1 or len(chain.graph.shapes[entering[0]]) != 1:
        raise complain("model", "one with a head that takes a single vector of pooled features", model.name)
    return entering[0]

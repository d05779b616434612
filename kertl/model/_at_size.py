"""The same model for pictures of another size, with the very same weights."""

import keras

from kertl._checks import complain, pair
from kertl.groups import find_chain, functional_of
from kertl.model._info import keep_info


def at_size(model: keras.Model, image_size: tuple[int, int]) -> keras.Model:
    """A model for pictures of another size that shares the layers of `model`: training one trains the other.

    Args:
        model: A functional or sequential model with one input and one output.
        image_size: `(height, width)`. Multiples of 32 are safe; for other sizes, convolutions with strides pad
            differently from how the weights were trained.

    Returns:
        A flat functional model; `model` itself if it already takes the size.

    Raises:
        ValueError: If the layers of the model only fit its own size.

    Example:
        >>> import kertl
        >>> from kertl.model import at_size
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(96, 96, 3))
        >>> at_size(model, (64, 64)).input_shape
        (None, 64, 64, 3)
    """
    size = pair("image_size", image_size)
    functional_of(model)
    own = tuple(model.input_shape[1:3])
    if own in (size, (None, None)):
        return model
    chain = find_chain(model)
    try:
        other = chain.at_shape((*size, *model.input_shape[3:]), name=model.name)
    except (ValueError, TypeError, RuntimeError) as error:
        raise complain(
            "image_size", f"{own}, which is the only size for the layers of {model.name!r}", size, f"({error})"
        ) from error
    return keep_info(model, other)

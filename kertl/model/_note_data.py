"""`note_data`: what a model learns about itself from the data that it is trained on."""

import dataclasses

import keras

import kertl
from kertl._checks import complain, named
from kertl.data import ImageData
from kertl.model._info import ModelInfo, model_info, set_model_info
from kertl.model._task_of import task_of


def note_data(model: keras.Model, data: ImageData) -> keras.Model:
    """Note in a model what it does not know yet but the data say: task, class names, and how images are resized.

    Args:
        model: A model that is about to be trained on the data.
        data: The data it is trained on; of the model's task, with its classes in its order.

    Returns:
        The same model.

    Raises:
        ValueError: If the model was built for images resized in another way.

    Example:
        >>> import numpy as np, kertl
        >>> from kertl.model import model_info, note_data
        >>> data = kertl.data.from_arrays(np.zeros((4, 32, 32, 3), "uint8"), ["a", "b"] * 2, validation=0, test=0)
        >>> model = kertl.build("MobileNetV2", num_classes=2, weights=None, input_shape=(32, 32, 3))
        >>> model_info(note_data(model, data)).class_names
        ('a', 'b')
    """
    info = model_info(model) or ModelInfo(task_of(model, data.task), (), model.name, kertl.__version__)
    came_resized = data.train.reader.fitted is not None
    if came_resized and info.resize not in (None, data.resize):
        raise complain(
            "data",
            f"of images with resize={info.resize!r}, as {named(model)} takes them",
            data.resize,
            f"Make the data with resize={info.resize!r}, or build the model with resize={data.resize!r}.",
        )
    noted = dataclasses.replace(
        info, class_names=info.class_names or tuple(data.class_names), resize=info.resize or data.resize
    )
    return set_model_info(model, noted)

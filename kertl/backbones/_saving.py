"""Whether a model can be saved, and loaded from its file."""

from typing import Any

import keras

from kertl._keras import layers_inside


def why_not_saved(model: keras.Model) -> str | None:
    """Why a model cannot be saved as a `.keras` file, or not be loaded from one; None if it can.

    Loading is tried where layers of KerasHub or KerasCV are not inside the class that they were made for. Layers of
    somebody's own may need their code at hand, which is for those who load them.
    """
    inside: set[Any] = set()
    for layer in layers_inside(model):
        if isinstance(layer, keras.Model) and layer is not model and type(layer).__module__.split(".")[0] != "keras":
            inside.update(map(id, layers_inside(layer)))
    loose = [layer for layer in layers_inside(model) if id(layer) not in inside]
    try:
        config = keras.saving.serialize_keras_object(model)
        if any(type(layer).__module__.startswith(("keras_hub.", "keras_cv.")) for layer in loose):
            keras.saving.deserialize_keras_object(config)
    except (NotImplementedError, TypeError, ValueError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return None

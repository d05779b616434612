"""What is checked of the weights of somebody's model."""

from typing import Any

import keras
import numpy as np

from kertl._checks import complain, named
from kertl.errors import WeightsError


def refuse_nan(model: keras.Model) -> None:
    """Raise if a weight is NaN or infinite: predictions are NaN, or always the same where a ReLU turns NaN into 0.

    Raises:
        WeightsError: If so; the message names the first such weight.
    """
    if not hasattr(model, "weights"):
        raise complain("model", "a Keras model", model)
    broken = [(weight.path, found) for weight in model.weights if (found := _no_number(weight))]
    if broken:
        (path, found), *others = broken
        raise WeightsError(
            f"Every weight of {named(model)} must be a finite number. Received: {found} in {path!r}"
            + (f" and {len(others)} other variables" if others else "")
            + ". Load the weights again from where they come from; if training made them so, train with a lower rate.",
            code="weights-nan",
        )


def _no_number(weight: Any) -> str:
    """What no number is among the values of a weight: NaN or infinity; else nothing."""
    values = keras.ops.convert_to_numpy(weight)
    if values.dtype.kind in "iub" or np.isfinite(values).all():
        return ""
    return "NaN" if np.isnan(values).any() else "infinity"

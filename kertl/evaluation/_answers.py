"""`answers`: predictions in words."""

from typing import TYPE_CHECKING, Any

from kertl._checks import integer
from kertl.evaluation._form import check_asked
from kertl.evaluation._labels import checked_predictions, output_names
from kertl.evaluation._thresholds import thresholds_of
from kertl.model import task_of
from kertl.tasks import task_named

if TYPE_CHECKING:
    import keras
    import numpy as np


def answers(model: "keras.Model", predictions: "np.ndarray", *, top: int = 3) -> list[dict[str, Any]]:
    """What predictions mean, image by image, in plain values that JSON takes.

    Args:
        model: The model that made them; its task, class names and thresholds are used.
        predictions: The result of `kertl.predict`.
        top: How many classes to name for a single label, the likeliest first; >= 1.

    Returns:
        For each image, by task:
        "single_label": `classes`, a list of `class` and `probability`;
        "binary": `label`, the class predicted; `positive`, the second class, and `probability`, that of this class;
        "multi_label": `labels`, a list of `class` and `probability` of those that reach their threshold, the likeliest
        first;
        "regression": `targets`, the values by name.

    Raises:
        ValueError: If `top` is out of range, `predictions` cannot be those of the model, or its task is not known.

    Example:
        >>> import numpy as np, kertl
        >>> model = kertl.build(
        ...     "MobileNetV2", class_names=["no", "yes"], task="binary", weights=None, input_shape=(32, 32, 3)
        ... )
        >>> kertl.answers(model, np.array([[0.75]]))
        [{'label': 'yes', 'positive': 'yes', 'probability': 0.75}]
    """
    integer("top", top, at_least=1)
    check_asked(model)
    task, names = task_named(task_of(model)), output_names(model)
    predictions = checked_predictions(model, predictions)
    thresholds = thresholds_of(model, predictions.shape[1])
    return [task.answer(row, names, thresholds, top) for row in predictions]

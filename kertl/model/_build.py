"""`build`: a backbone and a head as one plain Keras model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import kertl
from kertl._checks import complain, integer
from kertl.backbones import load_backbone
from kertl.heads import Head
from kertl.model._info import ModelInfo, set_model_info
from kertl.tasks import task_named


def build(
    backbone: str | Path | keras.Model,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    weights: str | Path | None = "imagenet",
    input_shape: tuple[int, int, int] | None = None,
    task: str = "single_label",
    head: Head | None = None,
) -> keras.Model:
    """A classifier or regressor from a pretrained backbone: preprocessing, backbone (nested whole), head.

    The model takes pictures of 0..255 and is a plain functional `keras.Model`, not compiled. Its random initial
    weights follow `keras.utils.set_random_seed`.

    Args:
        backbone: A name, file or model for `kertl.load_backbone`, or what that gave.
        num_classes: Number of outputs; > 1 for a single label.
        class_names: The classes by name, in the order of the outputs, in place of `num_classes`.
        weights: As in `kertl.load_backbone`.
        input_shape: As in `kertl.load_backbone`.
        task: "single_label" (softmax), "multi_label" (sigmoid) or "regression" (linear).
        head: The head; `kertl.Head()` by default.

    Returns:
        A functional model with input `(batch, height, width, 3)` and float32 output `(batch, outputs)`.

    Raises:
        ValueError: If neither or both of `num_classes` and `class_names` are given, or one is out of range.
        WeightsError: If weights cannot be had or do not fit.

    Example:
        >>> import kertl
        >>> model = kertl.build("MobileNetV2", class_names=["cat", "dog"], weights=None, input_shape=(96, 96, 3))
        >>> model.output_shape
        (None, 2)
    """
    chosen_task = task_named(task)
    outputs = _outputs(num_classes, class_names, fewest=2 if task == "single_label" else 1)
    loaded = _loaded(backbone, weights, input_shape)
    answers = (head or Head())(loaded.output, outputs, chosen_task)
    model = keras.Model(loaded.input, answers, name=f"{loaded.backbone_name}_{task}")
    info = ModelInfo(task, tuple(class_names or ()), loaded.backbone_name, kertl.__version__)
    return set_model_info(model, info)


def _loaded(backbone: Any, weights: str | Path | None, input_shape: tuple[int, int, int] | None) -> keras.Model:
    """What `load_backbone` gives for `backbone`, which may be that already."""
    if not hasattr(backbone, "backbone_name"):
        return load_backbone(backbone, weights=weights, input_shape=input_shape)
    if input_shape is not None and tuple(input_shape) != tuple(backbone.input_shape[1:]):
        raise complain("input_shape", f"{tuple(backbone.input_shape[1:])}, as the backbone has it", input_shape)
    return backbone


def _outputs(num_classes: int | None, class_names: Sequence[str] | None, fewest: int) -> int:
    if (num_classes is None) == (class_names is None):
        raise ValueError(
            "Exactly one of `num_classes` and `class_names` must be given. "
            f"Received: num_classes={num_classes!r}, class_names={class_names!r}."
        )
    if class_names is None:
        return int(integer("num_classes", num_classes, at_least=fewest))
    if isinstance(class_names, str) or len(set(class_names)) < len(class_names) or len(class_names) < fewest:
        raise complain("class_names", f"a list of at least {fewest} different names", class_names)
    return len(class_names)

"""`build`: a backbone and a head as one plain Keras model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

import kertl
from kertl import _checks
from kertl._checks import complain, integer, number, one_of
from kertl.backbones import load_backbone, refuse_nan
from kertl.backbones._found import check_input_shape
from kertl.data import RESIZE
from kertl.errors import ArgumentError
from kertl.heads import Head
from kertl.model._head import head_on
from kertl.model._info import ModelInfo, set_model_info
from kertl.model._outputs import UNITS_LAYER, output_layer
from kertl.tasks import Task, task_named


def build(
    backbone: str | Path | keras.Model,
    *,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    weights: str | Path | None = "imagenet",
    input_shape: tuple[int, int, int] | None = None,
    task: str = "single_label",
    head: Head | keras.layers.Layer | None = None,
    target_scaling: tuple[Sequence[float], Sequence[float]] | None = None,
    resize: str | None = None,
) -> keras.Model:
    """A classifier or regressor from a pretrained backbone: preprocessing, backbone (nested whole), head.

    The model takes pictures of 0..255 and is a plain functional `keras.Model`, not compiled. Its random initial
    weights follow `keras.utils.set_random_seed`.

    Args:
        backbone: A name, preset, file or model for `kertl.load_backbone`, or its result. A backbone that is already
            loaded is shared: training the model trains it, so load it again for a second model.
        num_classes: Number of classes or targets; > 1 for a single label, 2 for "binary".
        class_names: The classes or targets by name, in the order of the outputs, instead of `num_classes`. For "binary"
            the second is the positive class, and the one output is its probability.
        weights: As in `kertl.load_backbone`.
        input_shape: As in `kertl.load_backbone`.
        task: "single_label" (softmax), "binary" (one sigmoid), "multi_label" (sigmoid) or "regression" (linear).
        head: The head; `kertl.Head()` by default. Or a Keras layer or model of your own, from the backbone's feature
            maps to predictions that the task's activation gives.
        target_scaling: For a regression, mean and standard deviation of each target on the training images, as in
            `data.target_scaling`. The head then computes standardised targets, and a `Rescaling` layer without weights
            after it, "original_units", converts them to the units of the data: predictions start at the mean, the
            learning rate does not depend on the units, and `kertl.fine_tune` gives every target the same weight in the
            loss. None leaves the output of the head unchanged.
        resize: How images are resized to the size of the model, "stretch", "pad" or "crop", see
            `kertl.data.read_image`, for `kertl.predict`, `kertl.evaluate` and the command line. None takes it from the
            data that it is trained on.

    Returns:
        A functional model with input `(batch, height, width, channels)` and float32 output `(batch, outputs)`.

    Raises:
        ValueError: If neither or both of `num_classes` and `class_names` are given, one is out of range, or
            `target_scaling` does not go with the task.
        WeightsError: If weights are not available or do not fit, or one is NaN or infinite.

    Example:
        >>> import kertl
        >>> model = kertl.build("MobileNetV2", class_names=["cat", "dog"], weights=None, input_shape=(96, 96, 3))
        >>> model.output_shape
        (None, 2)
    """
    chosen_task = task_named(task)
    one_of("resize", resize, (None, *RESIZE))
    names = _checks.class_names(class_names)
    classes = _number_of_classes(num_classes, names, chosen_task)
    if target_scaling is not None:
        _check_scaling(target_scaling, classes, chosen_task)
    loaded = _loaded(backbone, weights, input_shape)
    inputs, answers = _answers(Head() if head is None else head, loaded, chosen_task.outputs(classes), chosen_task)
    if target_scaling is not None:
        means, spreads = ([float(value) for value in values] for values in target_scaling)
        answers = keras.layers.Rescaling(spreads, means, dtype="float32", name=UNITS_LAYER)(answers)
    model = keras.Model(inputs, answers, name=f"{loaded.backbone_name}_{task}")
    if not isinstance(head, Head | None):
        _check_activation(model, chosen_task)
    refuse_nan(model)
    info = ModelInfo(task, tuple(names or ()), loaded.backbone_name, kertl.__version__, resize=resize)
    return set_model_info(model, info)


def _answers(head: Any, backbone: keras.Model, outputs: int, task: Task) -> tuple[Any, Any]:
    """The input and the predictions, symbolic."""
    if isinstance(head, Head):
        return head_on(head, backbone, outputs, task)
    features = backbone.output
    if not isinstance(head, keras.layers.Layer):
        raise complain("head", "a kertl.Head, or a Keras layer or model", head)
    answers = head(features)
    if tuple(answers.shape[1:]) != (outputs,):
        advice = "Pool the features first: `keras.Sequential([keras.layers.GlobalAveragePooling2D(), ...])`."
        accepted = f"one that makes predictions of shape (batch, {outputs}) of features {tuple(features.shape)}"
        raise complain("head", accepted, tuple(answers.shape), advice if len(answers.shape) > 2 else "")
    return backbone.input, answers


def _check_activation(model: keras.Model, task: Task) -> None:
    last = output_layer(model)
    if last is not None and last.activation != task.activation:
        accepted = f"one that ends in {task.activation}, for the task {task.name!r}"
        raise complain("head", accepted, last.activation)


def _loaded(backbone: Any, weights: str | Path | None, input_shape: tuple[int, int, int] | None) -> keras.Model:
    """The result of `load_backbone` for `backbone`, or `backbone` itself if it is that already."""
    if not hasattr(backbone, "backbone_name"):
        return load_backbone(backbone, weights=weights, input_shape=input_shape)
    if check_input_shape(input_shape) not in (None, tuple(backbone.input_shape[1:])):
        raise complain("input_shape", f"{tuple(backbone.input_shape[1:])}, as the backbone has it", input_shape)
    return backbone


def _number_of_classes(num_classes: int | None, class_names: list[str] | None, task: Task) -> int:
    if (num_classes is None) == (class_names is None):
        raise ArgumentError(
            "Exactly one of `num_classes` and `class_names` must be given. "
            f"Received: num_classes={num_classes!r}, class_names={class_names!r}."
        )
    fewest, most = task.fewest, task.most
    if class_names is None:
        integer("num_classes", num_classes, at_least=fewest)
        if most is not None and num_classes != most:
            advice = "Pass task='single_label' for more."
            raise complain("num_classes", f"{most} for task={task.name!r}", num_classes, advice)
        return int(num_classes or 0)
    wrong = len(set(class_names)) < len(class_names)
    if most is not None and (wrong or len(class_names) != most):
        advice = "The second is the positive one. Pass task='single_label' for more."
        accepted = f"a list of exactly {most} different names for task={task.name!r}"
        raise complain("class_names", accepted, class_names, advice)
    if wrong or len(class_names) < fewest:
        raise complain("class_names", f"a list of at least {fewest} different names", class_names)
    return len(class_names)


def _check_scaling(scaling: Any, targets: int, task: Task) -> None:
    if task.output_of != "target":
        raise complain("target_scaling", f"left out for task={task.name!r}, which has no targets", scaling)
    whole = isinstance(scaling, tuple) and len(scaling) == 2 and all(len(values) == targets for values in scaling)
    if not whole:
        accepted = f"means and standard deviations of {targets} targets, such as `data.target_scaling`"
        raise complain("target_scaling", accepted, scaling)
    for mean, spread in zip(*scaling, strict=True):
        number("target_scaling", mean)
        number("target_scaling", spread, above=0)

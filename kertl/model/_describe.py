"""`describe`: what a model from elsewhere does not say about itself, told once for everything that asks it."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import keras

import kertl
from kertl import _checks
from kertl._checks import complain, named, one_of
from kertl.backbones import told_preprocessing
from kertl.backbones._preprocessing import check_preprocessing, preprocess
from kertl.data import RESIZE
from kertl.groups import ends_in, functional_of
from kertl.model._info import ModelInfo, model_info, set_model_info
from kertl.model._outputs import graph_ends, output_layer
from kertl.model._task_of import task_of
from kertl.tasks import Task, task_named

_logger = logging.getLogger(__name__)


def describe(
    model: keras.Model,
    *,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    resize: str | None = None,
    preprocessing: str | keras.layers.Layer | None = None,
) -> keras.Model:
    """A model from elsewhere as kertl's own: `kertl.evaluate`, `kertl.predict` and `kertl.answers` know what it is.

    Args:
        model: A functional or sequential model with one input and one output. Its layers are shared, not copied.
        task: "single_label", "binary", "multi_label" or "regression"; None for what its last activation tells. Where a
            model gives logits (its last Dense layer is linear), the activation of the task is put after it.
        class_names: Its classes or targets, in the order of its outputs; for "binary" two, the second being the one
            whose probability it gives.
        resize: How its images were resized: "stretch", "pad" or "crop".
        preprocessing: What its pixels went through before it: "none" (0..255), "unit" (0..1), "tf" (-1..1), "torch"
            (0..1, then ImageNet mean and standard deviation), "caffe" (BGR minus ImageNet mean), or a layer. It is put
            in front, so that the result takes pictures of 0..255. None for what its graph or its architecture tells,
            which is logged.

    Returns:
        A functional model, not compiled, that knows all this; `kertl.save` writes it down.

    Raises:
        TypeError: If the model is subclassed or not built.
        ValueError: If it contradicts the model: another number of names, a task with another activation, or something
            that the model says itself.

    Example:
        >>> import keras, kertl, numpy as np
        >>> from kertl.model import describe
        >>> theirs = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> known = describe(theirs, task="single_label", class_names=["cat", "dog"], preprocessing="unit")
        >>> sorted(place["class"] for place in kertl.answers(known, np.array([[0.9, 0.1]]))[0]["classes"])
        ['cat', 'dog']
    """
    functional_of(model)
    one_of("resize", resize, (None, *RESIZE))
    known = model_info(model)
    found, activation = _task(model, task)
    info = known or ModelInfo(found, (), model.name, kertl.__version__)
    names = _names(model, found, info.class_names, _checks.class_names(class_names))
    inputs, outputs = graph_ends(with_preprocessing(model, preprocessing))
    if activation is not None:
        _logger.info("%s gives logits; its predictions go through a %s.", named(model), activation)
        outputs = keras.layers.Activation(activation, dtype="float32", name="predictions_of_logits")(outputs)
    described = keras.Model(inputs, outputs, name=model.name)
    described.file_name = getattr(model, "file_name", None)
    return set_model_info(described, replace(info, class_names=names, resize=resize or info.resize))


def with_preprocessing(model: keras.Model, preprocessing: str | keras.layers.Layer | None) -> keras.Model:
    """A model with preprocessing in front of it, so that it takes pictures of 0..255.

    Args:
        model: Any model; one that kertl has built takes such pictures already.
        preprocessing: As in `describe`.

    Raises:
        ValueError: If preprocessing is given for a model that has it inside.
    """
    check_preprocessing(preprocessing)
    if model_info(model) is not None:
        if preprocessing not in (None, "none"):
            raise complain("preprocessing", f"left out, since {named(model)} has it inside", preprocessing)
        return model
    if preprocessing is None:
        preprocessing = told_preprocessing(model)
        if preprocessing is None:
            _logger.warning(
                "%s is given pixels of 0..255 as they are: nothing tells how it was trained. "
                "If it takes others, pass `preprocessing=`, or `--preprocessing` on the command line.",
                named(model),
            )
    if preprocessing in (None, "none"):
        return model
    inputs = keras.Input(model.inputs[0].shape[1:], name="images")
    if preprocessing in ("torch", "caffe") and inputs.shape[-1] != 3:
        raise complain(
            "preprocessing", f"for {inputs.shape[-1]} channels 'none', 'unit', 'tf' or a layer", preprocessing
        )
    images = preprocess(inputs, preprocessing)
    if tuple(images.shape) != tuple(inputs.shape):
        accepted = f"a layer that keeps the shape of pictures, {tuple(inputs.shape[1:])}"
        raise complain("preprocessing", accepted, tuple(images.shape[1:]))
    taken = functional_of(model).input
    outputs = model(dict.fromkeys(taken, images) if isinstance(taken, dict) else images)
    wrapped = keras.Model(inputs, outputs, name=model.name)
    wrapped.takes_pixels = True
    wrapped.file_name = getattr(model, "file_name", None)
    return wrapped


def _task(model: keras.Model, given: str | None) -> tuple[str, str | None]:
    """The task, and the activation that has to follow the model."""
    if given is None:
        return task_of(model), None
    task, info, last = task_named(given), model_info(model), output_layer(model)
    if info is not None and info.task != task.name:
        raise complain("task", f"{info.task!r}, which {named(model)} was built for", given)
    _check_outputs(model, task)
    if info is None and last is not None and last.activation != task.activation:
        if last.activation == "linear":
            return task.name, task.activation
        told = task_of(model)
        raise complain("task", f"{told!r}, since {named(model)} ends in {last.activation}", given)
    if info is None and last is None and task.activation != "linear":
        ends = ends_in(model)
        if ends == "scores":
            return task.name, task.activation
        if ends is None:
            accepted = f"left out, since {named(model)} ends in neither probabilities nor the scores of a layer"
            raise complain("task", accepted, given)
    return task_of(model, task.name), None


def _check_outputs(model: keras.Model, task: Task) -> None:
    """Raise if the outputs of a model cannot be those of a task."""
    shape, least = tuple(model.output_shape[1:]), task.outputs(task.most or task.fewest)
    if len(shape) != 1 or shape[0] < least or (task.most and shape[0] > least):
        count = f"{least}" if task.most else f"{least} or more"
        accepted = f"one that {named(model)} can have: this one needs a vector of {count} outputs"
        raise complain("task", accepted, task.name, f"Its outputs have the shape {shape}.")


def _names(model: keras.Model, task: str, known: tuple[str, ...], given: list[str] | None) -> tuple[str, ...]:
    if given is None:
        return known
    if known and given != list(known):
        raise complain("class_names", f"left out, since {named(model)} has {list(known)}", given)
    outputs, asked = model.output_shape[-1], task_named(task)
    count = asked.most or outputs
    if len(set(given)) != len(given) or len(given) != count or asked.outputs(count) != outputs:
        accepted = f"a list of {count} different names, in the order of the outputs of {named(model)}"
        raise complain("class_names", accepted, given)
    return tuple(given)

"""`extend_classes`: more outputs for a trained classifier, which keeps what it has learnt."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras

import kertl
from kertl import _checks
from kertl._checks import complain, named
from kertl.groups import find_chain, functional_of
from kertl.hardware import scope_of
from kertl.model._info import DEFAULT_THRESHOLD, ModelInfo, keep_info, model_info, set_model_info
from kertl.model._outputs import OutputLayer, graph_ends, output_layer
from kertl.model._task_of import task_of
from kertl.tasks import task_named


def extend_classes(
    model: keras.Model, names: Sequence[str], *, class_names: Sequence[str] | None = None
) -> keras.Model:
    """A model with further classes after its own, which keeps what it has learnt, bit for bit.

    The last Dense layer gets one more column per new class; the columns of the old classes are copied, so their logits
    and their order stay the same. The new columns are drawn by the layer's own initialisers (by default Glorot for the
    kernel and zero for the bias), as in a new head. With a sigmoid the probabilities of the old classes stay the same
    too; with a softmax they share with the new ones.

    The other layers are shared with `model`, not copied: training one model trains them for both. Data for the new
    model need their classes in the same order: `class_names=kertl.model.model_info(extended).class_names`.

    Args:
        model: A classifier for one class of several ("single_label") or for several at once ("multi_label"), built by
            kertl or not, whose last layer is a Dense with softmax or sigmoid, or a Dense followed by such an activation
            layer.
        names: The new classes.
        class_names: Names of the model's present classes, if it does not know them because it was built with
            `num_classes` or not by kertl.

    Returns:
        A functional model with the same input and `len(names)` more outputs, not compiled.

    Raises:
        TypeError: If the model is subclassed or not built.
        ValueError: If a name is there already or twice, the model is not such a classifier, or the names of its classes
            are missing or given twice.

    Example:
        >>> import kertl
        >>> model = kertl.build("MobileNetV2", class_names=["cat", "dog"], weights=None, input_shape=(32, 32, 3))
        >>> more = kertl.extend_classes(model, ["truck"])
        >>> more.output_shape, kertl.model.model_info(more).class_names
        ((None, 3), ('cat', 'dog', 'truck'))
    """
    functional_of(model)
    last, task = _classifier(model)
    if last.dense not in model.layers:  # in a nested head, whose graph is not that of the model
        flat = find_chain(model).at_shape(model.input_shape[1:], name=model.name)
        model = keep_info(model, flat)
        last, task = _classifier(model)
    old = _old_names(model, last.dense.units, _checks.class_names(class_names))
    new = _checks.names("names", names, "a list of at least one name")
    if not new or not all(new):
        raise complain("names", "a list of at least one name", names)
    if len({*old, *new}) < len(old) + len(new):
        twice = next(name for place, name in enumerate([*old, *new]) if name in [*old, *new][:place])
        raise complain("names", "new names, each once", new, f"{twice!r} is there already.")
    with scope_of(model):
        extended = keras.Model(graph_ends(model)[0], _more_outputs(last, len(new)), name=model.name)
    info = model_info(model) or ModelInfo(task, (), model.name, kertl.__version__)
    thresholds = (*info.thresholds, *[DEFAULT_THRESHOLD] * len(new)) if info.thresholds else ()
    return set_model_info(extended, replace(info, class_names=(*old, *new), thresholds=thresholds))


def _classifier(model: keras.Model) -> tuple[OutputLayer, str]:
    """The last layer of a classifier that can be extended, and its task."""
    last = output_layer(model)
    accepted = "a classifier that ends in a Dense layer with softmax or sigmoid"
    ends = last is not None and last.activation in ("softmax", "sigmoid")
    task = task_named(task_of(model)) if ends or model_info(model) is not None else None
    if task is not None and task.output_of == "target":
        raise complain("model", accepted, model, f"Its task is {task.name!r}, which has no classes.")
    if task is not None and task.most is not None:
        advice = (
            "Its one output answers a yes-or-no question. For three classes build a new head on its backbone: "
            "`kertl.build(kertl.load_backbone(model), class_names=[...])`."
        )
        raise complain("model", accepted + " and has an output per class", model, advice)
    if last is None or task is None or not ends:
        found = "no Dense layer" if last is None else f"a Dense layer with {last.activation!r}"
        raise complain("model", accepted, model, f"It ends in {found}.")
    return last, task.name


def _old_names(model: keras.Model, outputs: int, given: list[str] | None) -> tuple[str, ...]:
    info = model_info(model)
    known = info.class_names if info is not None else ()
    if known:
        if given is not None:
            raise complain("class_names", f"left out, since the model has {list(known)}", given)
        return known
    if given is None or len(given) != outputs or len(set(given)) < outputs:
        accepted = f"{outputs} different names, since {named(model)} does not know the names of its classes"
        raise complain("class_names", accepted, given)
    return tuple(given)


def _more_outputs(last: OutputLayer, number: int) -> Any:
    """The predictions of a wider layer instead of the last one, symbolic."""
    old = last.dense
    wider = type(old).from_config({**old.get_config(), "units": old.units + number})
    answers = wider(last.inputs)
    for before, now in zip(old.weights, wider.weights, strict=True):
        values = keras.ops.convert_to_numpy(now).copy()
        values[..., : old.units] = keras.ops.convert_to_numpy(before)
        now.assign(values)
    return answers if last.after is None else type(last.after).from_config(last.after.get_config())(answers)

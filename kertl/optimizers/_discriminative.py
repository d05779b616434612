"""A learning rate per layer group: which rates, for which variables."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras

from kertl._checks import complain, number, several
from kertl._keras import is_decayed, learning_rate_of
from kertl.errors import ArgumentError
from kertl.groups import Chain, find_chain
from kertl.hardware import replicas
from kertl.optimizers._grouped import MANY_STEPS, Grouped, discriminative_class, plain_class
from kertl.optimizers._named import decays, set_weight_decay, unbuilt

_logger = logging.getLogger(__name__)


def discriminative(
    optimizer: str | keras.optimizers.Optimizer,
    model: Any,
    *,
    peak: Any = None,
    rates: tuple[float, float] | None = None,
    layer_decay: float | None = None,
    multipliers: Mapping[str, float] | None = None,
    weight_decay: float | None = None,
    variables: Iterable[Any] | None = None,
) -> keras.optimizers.Optimizer:
    """An optimizer in which each layer group has a learning rate of its own, built for what trains in `model`.

    Each group trains as with its own optimizer at the group's rate, except that the norm of `global_clipnorm` is that
    of all gradients. So a first step is the multiplier times as long, except for two of Keras' optimizers whose step is
    not proportional to the rate: Ftrl, and Adafactor, which holds every rate below one over the root of the step count.
    `optimizer.learning_rate` is the head's rate: setting it sets all. Weight decay follows the group's rate and leaves
    out variables with fewer than two axes (biases, BatchNorm), and what the given instance leaves out.
    `optimizer.group_multipliers` holds each group's rate as a multiple of the head's.

    Args:
        optimizer: "adamw", "adam", "sgd" or "sgd_nesterov" (momentum 0.9), "rmsprop", "lion" or "muon"; or an instance
            not built yet, with whatever options it has. The instance is not changed.
        model: A functional or sequential model with one input and one output, whose groups are those of
            `kertl.layer_groups(model)`; or the chain that `kertl.groups.find_chain` found in it, with `variables`.
        peak: The head's rate, a number > 0 or a schedule. None keeps that of an instance. With `rates`, None or a
            schedule that reaches `high`.
        rates: `(low, high)`, 0 < low <= high: the head (the last group) gets `high`, the first that trains `low`, those
            between them a geometric progression.
        layer_decay: Each group's rate over that of the group after it; 0 < decay <= 1. The head's is `peak`.
        multipliers: Each trained group's name, "head" for the head, and its rate over `peak`; > 0.
        weight_decay: >= 0; None keeps the optimizer's own: 0.004 for AdamW and Muon, by Keras' choice, else none.
        variables: What trains, if that is another model that shares layers with `model`, such as a stage model; in the
            order of its `trainable_variables`. None: `model.trainable_variables`.

    Returns:
        An instance of a class that `discriminative_class` made from the optimizer's. It loads with a model compiled
        with it wherever `kertl.optimizers` has been imported.

    Raises:
        ValueError: If not exactly one of `rates`, `layer_decay` and `multipliers` is given, a value is out of range,
            `multipliers` leaves a trained group out or names another, or the optimizer is built or holds others, or
            accumulates gradients in the scope of a `tf.distribute` strategy.

    Example:
        >>> import keras, kertl
        >>> model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(64, 64, 3))
        >>> kertl.freeze(model, "block3")
        >>> optimizer = kertl.optimizers.discriminative("adamw", model, rates=(1e-5, 1e-3))
        >>> {name: round(1e-3 * factor, 6) for name, factor in optimizer.group_multipliers.items()}
        {'block3': 1e-05, 'block4': 0.0001, 'block5': 0.001}

    Reference:
        Howard & Ruder, "Universal Language Model Fine-tuning for Text Classification", 2018, section 3.2.
        https://arxiv.org/abs/1801.06146; `layer_decay`: Clark et al., "ELECTRA", 2020, appendix A.
        https://arxiv.org/abs/2003.10555
    """
    chain = model if isinstance(model, Chain) else find_chain(model)
    accepted = "a list of variables of the model, or None"
    variables = list(several("variables", model.trainable_variables if variables is None else variables, accepted))
    if not all(isinstance(variable, keras.Variable) for variable in variables):
        raise complain("variables", accepted, variables)
    of_variables, trained = _groups_of(variables, chain)
    plain = _unbuilt(optimizer)
    _check_replicas(plain, replicas())
    factors = _multipliers(trained, rates, layer_decay, multipliers)
    if weight_decay is not None:
        number("weight_decay", weight_decay, at_least=0)
    config = {
        **plain.get_config(),
        "learning_rate": _head_rate(optimizer, peak, rates),
        "group_multipliers": factors,
        "variable_groups": of_variables,
        "undecayed": [k for k, one in enumerate(variables) if not (decays(one) and is_decayed(plain, one))],
    }
    made = discriminative_class(plain_class(plain)).from_config(config)
    if weight_decay is not None:
        set_weight_decay(made, weight_decay)
    made.build(variables)
    return made


def _unbuilt(optimizer: Any) -> keras.optimizers.Optimizer:
    """The optimizer that the rates are for, by name or as it came."""
    if isinstance(optimizer, str):
        return unbuilt(optimizer, 1e-3)
    if not isinstance(optimizer, keras.optimizers.Optimizer) or isinstance(optimizer, (*MANY_STEPS, Grouped)):
        accepted = "a name, or an optimizer that itself makes the steps, with one rate for all"
        raise complain("optimizer", accepted, optimizer, "Put a LossScaleOptimizer around the result instead.")
    if optimizer.built:
        raise complain("optimizer", "one that has not been built", optimizer, "Make a new one; `carry_moments` helps.")
    return optimizer


def _check_replicas(optimizer: keras.optimizers.Optimizer, count: int) -> None:
    """Refuse what Keras cannot do on several replicas of TensorFlow, and say what it does otherwise there."""
    if count == 1:
        return
    if optimizer.gradient_accumulation_steps:
        raise complain(
            "optimizer",
            "one without gradient_accumulation_steps on several replicas, where Keras cannot accumulate gradients",
            optimizer,
            "Leave it out; the replicas share each batch anyway.",
        )
    clips = [name for name in ("clipnorm", "clipvalue", "global_clipnorm") if getattr(optimizer, name) is not None]
    if clips:
        _logger.warning(
            "Keras clips the gradients of each of the %d replicas before it adds them up, so that %s does not have the "
            "effect that it has on one device.",
            count,
            " and ".join(clips),
        )


def _groups_of(variables: Sequence[Any], chain: Chain) -> tuple[list[str], list[str]]:
    """The name of each variable's group, and the groups that train, from the input to the head."""
    groups = chain.groups
    names = {id(variable): group.name for group in groups for variable in group.variables}
    strange = [variable.path for variable in variables if id(variable) not in names]
    if strange or not variables:
        accepted = f"at least one variable, each of a layer group of {chain.model_name!r}"
        raise complain("variables", accepted, strange, "Those listed are of none." if strange else "Nothing trains.")
    found = [names[id(variable)] for variable in variables]
    return found, [group.name for group in groups if group.name in found]


def _head_rate(optimizer: Any, peak: Any, rates: Any) -> Any:
    """The rate of the head: a number, or a schedule."""
    if not isinstance(optimizer, str) and peak is None:
        own = learning_rate_of(optimizer)
        peak = own if callable(own) else float(own) if rates is None else None
    if rates is None:
        return peak if callable(peak) else float(number("peak", peak, above=0))
    if peak is None:
        return float(rates[1])
    if not callable(peak) or getattr(peak, "peak", rates[1]) != rates[1]:
        accepted = f"left out, or a schedule that reaches the higher of `rates`, {rates[1]}"
        raise complain("peak", accepted, getattr(peak, "peak", peak))
    return peak


def _multipliers(trained: Sequence[str], rates: Any, layer_decay: Any, multipliers: Any) -> dict[str, float]:
    """Each trained group's rate over the head's."""
    ways = {"rates": rates, "layer_decay": layer_decay, "multipliers": multipliers}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise ArgumentError(f"One of `rates`, `layer_decay` and `multipliers` must be given. Received: {given}.")
    if multipliers is not None:
        return _by_hand(trained, multipliers)
    last = len(trained) - 1
    if rates is None:
        between = float(number("layer_decay", layer_decay, above=0, at_most=1))
    elif not isinstance(rates, (tuple, list)) or len(rates) != 2:
        raise complain("rates", "(low, high), two numbers", rates)
    else:
        number("rates", rates[1], at_least=number("rates", rates[0], above=0))
        between = (rates[0] / rates[1]) ** (1 / max(last, 1))
    return {name: between ** (last - place) for place, name in enumerate(trained)}


def _by_hand(trained: Sequence[str], multipliers: Any) -> dict[str, float]:
    if not isinstance(multipliers, Mapping) or set(multipliers) != set(trained):
        named = list(multipliers) if isinstance(multipliers, Mapping) else []
        left, strange = [n for n in trained if n not in named], [n for n in named if n not in trained]
        advice = f"Left out: {left}; not trained: {strange}."
        raise complain("multipliers", f"a factor for each group that trains, {list(trained)}", multipliers, advice)
    return {name: float(number("multipliers", multipliers[name], above=0)) for name in trained}

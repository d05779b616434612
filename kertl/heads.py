"""The head: what turns feature maps into predictions, described; `kertl.model` makes its layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kertl._checks import among, complain, integer, number, one_of

__all__ = ["Head", "initializer_for", "initializer_reason"]

_RECTIFIERS = ("relu", "relu6", "leaky_relu", "elu", "gelu", "silu", "swish", "mish", "hard_silu", "softplus")
_SATURATING = ("tanh", "sigmoid", "hard_sigmoid", "hard_tanh", "softsign", "linear", "softmax")
STATISTICS = ("mean", "max", "std")


@dataclass(frozen=True, kw_only=True)
class Head:
    """Pooling, then blocks of Dense, BatchNorm, activation and Dropout, then the output layer.

    Without hidden units the pooled features go through Dropout straight to the output layer.

    Attributes:
        hidden_units: Width of each hidden Dense layer; none by default.
        batch_norm: Whether each block normalises what goes into its activation.
        dropout: Share of units dropped after each block, or of the features if there is none; 0 <= dropout < 1. By
            default 0.3, and 0 if features of several depths go straight to the output layer, where a penalty serves
            better.
        pooling: "avg", "max", "both" (average and maximum side by side) or "flatten". Of a transformer, whose features
            are tokens, the average and maximum are over all of them; "token" takes the first, which is the class token
            of ViT, DeiT and DINO.
        depths: What the head sees. "last": the end of the backbone. "auto": at most nine layer groups over all depths,
            as `kertl.groups.depths_of` chooses them, with at most 20,000 features. Or a list of names of layer groups.
            Of each the widest activation is pooled, and all vectors are joined. The backbone is then not nested in the
            model, whose layers lie flat.
        statistics: How maps, or tokens, are pooled where `depths` is not "last": "mean", "max" and "std", the standard
            deviation over all places of a channel, or some of them.
        activation: Activation of the hidden layers, by Keras name.
        initializer: A Keras initialiser's name, or "auto": He for relu and its relatives, LeCun for selu, Glorot for
            tanh and sigmoid.
        l1: Weight of the L1 penalty on the kernels; >= 0.
        l2: Weight of the L2 penalty on the kernels; >= 0.
        batch_norm_momentum: Share of the old value that the moving statistics keep at each step, 0 <= momentum < 1.
            Keras' 0.99 needs several hundred steps to settle, which short trainings do not have.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> import kertl
        >>> kertl.Head(hidden_units=(256,), dropout=0.3).hidden_units
        (256,)

    Reference:
        He et al., "Delving Deep into Rectifiers", 2015. https://arxiv.org/abs/1502.01852
        Glorot & Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.
    """

    hidden_units: tuple[int, ...] = ()
    batch_norm: bool = True
    dropout: float | None = None
    pooling: str = "avg"
    depths: str | Sequence[str] = "last"
    statistics: Sequence[str] = STATISTICS
    activation: str = "relu"
    initializer: str = "auto"
    l1: float = 0.0
    l2: float = 0.0
    batch_norm_momentum: float = 0.9

    def __post_init__(self) -> None:
        if not isinstance(self.hidden_units, (tuple, list)):
            raise complain("hidden_units", "a tuple of whole numbers, one per layer", self.hidden_units)
        object.__setattr__(self, "hidden_units", tuple(self.hidden_units))
        for units in self.hidden_units:
            integer("hidden_units", units, at_least=1)
        one_of("batch_norm", self.batch_norm, (True, False))
        if self.dropout is None:
            object.__setattr__(self, "dropout", 0.3 if among(self.depths, ("last",)) or self.hidden_units else 0.0)
        number("dropout", self.dropout, at_least=0, below=1)
        one_of("pooling", self.pooling, ("avg", "max", "both", "flatten", "token"))
        self._check_depths()
        number("l1", self.l1, at_least=0)
        number("l2", self.l2, at_least=0)
        number("batch_norm_momentum", self.batch_norm_momentum, at_least=0, below=1)
        one_of("activation", self.activation, (*_RECTIFIERS, *_SATURATING, "selu"))
        if not among(self.initializer, ("auto",)):
            _known_initializer(self.initializer)

    def _check_depths(self) -> None:
        if not among(self.depths, ("last", "auto")):
            accepted = "'last', 'auto', or a list of different names of layer groups"
            object.__setattr__(self, "depths", _different_names("depths", self.depths, accepted))
        accepted = f"a list of some of {', '.join(map(repr, STATISTICS))}"
        given = _different_names("statistics", self.statistics, accepted)
        if not set(given) <= set(STATISTICS):
            raise complain("statistics", accepted, self.statistics)
        if self.depths == "last" and given != STATISTICS:
            advice = "Pass `depths=` too, or `pooling=`, which says how the last depth is pooled."
            raise complain("statistics", "left out with depths='last'", self.statistics, advice)
        object.__setattr__(self, "statistics", tuple(given))
        if self.depths != "last" and self.pooling != "avg":
            advice = "Pass `statistics=`, which says how each depth is pooled."
            raise complain("pooling", f"left out with depths={self.depths!r}", self.pooling, advice)

    @property
    def only_pooling(self) -> "Head":
        """A head that pools in the same way, and is otherwise the default; equal for all that share features."""
        return Head(pooling=self.pooling, depths=self.depths, statistics=self.statistics)


def initializer_for(activation: str) -> str:
    """The initialiser that preserves the variance of values through a layer with that activation.

    Args:
        activation: Keras name of an activation.

    Raises:
        ValueError: If the activation is not known to the rule.

    Example:
        >>> from kertl.heads import initializer_for
        >>> initializer_for("relu"), initializer_for("tanh")
        ('he_normal', 'glorot_uniform')
    """
    if activation == "selu":
        return "lecun_normal"
    one_of("activation", activation, (*_RECTIFIERS, *_SATURATING))
    return "he_normal" if activation in _RECTIFIERS else "glorot_uniform"


def initializer_reason(activation: str) -> str:
    """Why `initializer_for` chooses what it does for an activation, in a sentence.

    Raises:
        ValueError: If the activation is not known to the rule.

    Example:
        >>> from kertl.heads import initializer_reason
        >>> initializer_reason("relu")
        'he_normal: relu lets about half of the values through, so that weights have a variance of 2 / inputs.'
    """
    name = initializer_for(activation)
    why = {
        "he_normal": "lets about half of the values through, so that weights have a variance of 2 / inputs",
        "lecun_normal": "normalises itself, if weights have a variance of 1 / inputs",
        "glorot_uniform": "is about straight near zero, where a variance of 2 / (inputs + outputs) keeps values and "
        "gradients alike",
    }[name]
    return f"{name}: {activation} {why}."


def _known_initializer(name: Any) -> None:
    import keras

    try:
        if not isinstance(name, str):  # Keras takes an array for the weights themselves
            raise ValueError
        keras.initializers.get(name)
    except ValueError as error:
        raise complain("initializer", "'auto' or the name of a Keras initialiser", name) from error


def _different_names(argument: str, given: Any, accepted: str) -> tuple[str, ...]:
    listed = isinstance(given, list | tuple) and all(isinstance(name, str) for name in given)
    if not listed or not given or len(set(given)) < len(given):
        raise complain(argument, accepted, given)
    return tuple(given)

"""What all kinds of hardware have in common: a scope to build and train in, batches, and how rates go with them."""

import math
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any

from kertl._checks import integer, number, one_of
from kertl.hardware._choice import Choice

SCALINGS = ("none", "linear", "sqrt")
_entered: list["Scope"] = []


class Scope(AbstractContextManager["Scope"]):
    """Hardware to build models and train on, inside `with`.

    Attributes:
        choice: What it is, and why.

    Args:
        choice: What to use.
    """

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._inside: list[AbstractContextManager[Any]] = []

    @abstractmethod
    def scope(self) -> AbstractContextManager[Any]:
        """A new context in which models are built for the hardware; what `with` enters."""

    @property
    def replicas(self) -> int:
        """How many copies of a model take part in a step, in all processes together."""
        return len(self.choice.devices) * self.choice.workers

    @property
    def workers(self) -> int:
        """How many processes train together."""
        return self.choice.workers

    @property
    def chief(self) -> bool:
        """Whether this process is the one that writes."""
        return self.choice.worker == 0

    @property
    def precision(self) -> str:
        """What layers compute in while they train; `kertl.fine_tune` takes it up inside the scope."""
        return self.choice.precision

    def batch_size(self, per_replica: int) -> int:
        """The batch of all replicas together, which is what `batch_size` means in `kertl.data` and `kertl.Stage`.

        Args:
            per_replica: Images that one device takes per step; >= 1.

        Raises:
            ValueError: If it is less than 1.
        """
        return integer("per_replica", per_replica, at_least=1) * self.replicas

    def learning_rate(self, rate: float, *, scaling: str = "none") -> float:
        """A rate that suits the batch of one replica, for the batch of all of them.

        Args:
            rate: The rate for one replica; > 0.
            scaling: "none": the same rate. "linear": times the number of replicas. "sqrt": times its square root, which
                suits Adam and its kin better.

        Raises:
            ValueError: If an argument is outside its range.

        Example:
            >>> import kertl
            >>> kertl.hardware.setup("cpu").learning_rate(0.001, scaling="linear")  # one device
            0.001

        Reference:
            Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 2.1, for "linear".
            https://arxiv.org/abs/1706.02677
            Malladi et al., "On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", 2022, for "sqrt".
            https://arxiv.org/abs/2205.10287
        """
        number("rate", rate, above=0)
        factor = {"none": 1.0, "linear": float(self.replicas), "sqrt": math.sqrt(self.replicas)}
        return rate * factor[one_of("scaling", scaling, SCALINGS)]

    def __enter__(self) -> "Scope":
        inner = self.scope()
        inner.__enter__()
        self._inside.append(inner)
        _entered.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        _entered.pop()
        self._inside.pop().__exit__(*error)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.choice.devices)}, replicas={self.replicas})"


def precision_in_scope() -> str | None:
    """The precision of the innermost scope that was entered; None outside of all."""
    return _entered[-1].precision if _entered else None

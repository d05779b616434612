"""What the kinds of hardware with a strategy of `tf.distribute` have in common."""

from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import Any

from kertl.hardware._scope import Scope


class StrategyScope(Scope):
    """The scope of a strategy, which is made when it is needed first."""

    @property
    @abstractmethod
    def _strategy(self) -> Any:
        """The strategy, the same each time."""

    def scope(self) -> AbstractContextManager[Any]:
        """As `Scope.scope`."""
        return self._strategy.scope()

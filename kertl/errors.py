"""The errors that kertl raises beside Python's own.

A wrong argument is a `ValueError` or `TypeError`. The classes here are for what a caller may want to catch by name.
"""

__all__ = [
    "DataError",
    "DivergedError",
    "KertlError",
    "RunError",
    "WeightsError",
]


class KertlError(Exception):
    """What every error class of kertl derives from."""


class DataError(KertlError, ValueError):
    """The images or labels cannot be used as they are: the message names the file, class or column."""


class WeightsError(KertlError, OSError):
    """Pretrained weights cannot be had or do not fit: the message says which file to fetch and how to pass it."""


class RunError(KertlError, RuntimeError):
    """A run cannot go on or its files cannot be written: the message says why, and what is there to go on from."""


class DivergedError(KertlError, ArithmeticError):
    """The loss became NaN or infinite: the message says what to try; the best weights are kept."""

"""The errors that kertl raises besides Python's own.

A wrong argument is a `ValueError` or `TypeError`. The classes here are for what a caller may want to catch by name.
"""

__all__ = [
    "DataError",
    "DivergedError",
    "ExportError",
    "KertlError",
    "RunError",
    "WeightsError",
]


class KertlError(Exception):
    """The base class of all errors of kertl."""


class DataError(KertlError, ValueError):
    """The images or labels cannot be used: the message names the file, class or column."""


class WeightsError(KertlError, OSError):
    """Pretrained weights are not available or do not fit: the message says which file to fetch and how to pass it."""


class RunError(KertlError, RuntimeError):
    """A run cannot continue or its files cannot be written: the message says why, and what there is to resume from."""


class DivergedError(KertlError, ArithmeticError):
    """The loss became NaN or infinite: the message says what to try; the best weights are kept."""


class ExportError(KertlError, RuntimeError):
    """A model cannot be exported, or the export does not load or disagrees with it: no file of it is left."""

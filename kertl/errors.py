"""The errors that kertl raises, and the code that each message ends in.

A wrong argument is also a `ValueError`, `TypeError` or `IndexError`, so that nobody needs these classes to catch it.
The code stands for a kind of mistake: `kertl explain CODE` says its cause, an example and the way out.
"""

import re

from kertl._codes import CODES

__all__ = [
    "ArgumentError",
    "DataError",
    "DivergedError",
    "ExportError",
    "KertlError",
    "KindError",
    "MissingPackageError",
    "PositionError",
    "RunError",
    "SetupError",
    "WeightsError",
]

_CODE = re.compile(rf" \[({'|'.join(CODES)})\]")


class KertlError(Exception):
    """The base class of all errors of kertl.

    Args:
        message: What is accepted, what was received, what to do. The code of an error that it quotes moves to its end.
        code: The kind of mistake, one of `kertl explain`; by default that of the quoted error, or the usual one of the
            class.

    Example:
        >>> import kertl
        >>> str(kertl.errors.DataError("No image has a label.", code="labels"))
        'No image has a label. [labels]'
    """

    usual_code = "setup"

    def __init__(self, message: str = "", *, code: str = "") -> None:
        quoted = _CODE.findall(message)
        super().__init__(_CODE.sub("", message))
        self.code = code or (quoted[-1] if quoted else self.usual_code)

    @property
    def message(self) -> str:
        """The message without the code."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]".lstrip()


class ArgumentError(KertlError, ValueError):
    """An argument has a value that is not accepted, or does not go with another one."""

    usual_code = "argument"


class KindError(KertlError, TypeError):
    """An argument is of a kind that is not accepted."""

    usual_code = "kind"


class PositionError(KertlError, IndexError):
    """A row, a view or a batch is asked for that does not exist."""

    usual_code = "position"


class MissingPackageError(KertlError, ModuleNotFoundError):
    """A package that kertl does not install by itself is needed: the message says how to install it."""

    usual_code = "missing-package"


class SetupError(KertlError, RuntimeError):
    """What is installed, or the Keras backend, does not allow it."""


class DataError(KertlError, ValueError):
    """The images or labels cannot be used: the message names the file, class or column."""

    usual_code = "data"


class WeightsError(KertlError, OSError):
    """Pretrained weights are not available or do not fit: the message says which file to fetch and how to pass it."""

    usual_code = "model-file"


class RunError(KertlError, RuntimeError):
    """A run cannot continue or its files cannot be written: the message says why, and what there is to resume from."""

    usual_code = "run-directory"


class DivergedError(KertlError, ArithmeticError):
    """The loss became NaN or infinite: the message says what to try; the best weights are kept."""

    usual_code = "diverged"


class ExportError(KertlError, RuntimeError):
    """A model cannot be exported, or the export does not load or disagrees with it: no file of it is left."""

    usual_code = "export"

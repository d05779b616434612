"""What every format defines."""

import abc
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._checks import complain
from kertl._runtimes import Runtime
from kertl.exporting._contract import NOTE


class Format(abc.ABC):
    """A form in which a model is exported, and its own runtime.

    Attributes:
        name: Its name in arguments.
        suffix: How the file's name ends; empty for a folder.
        packages: Modules it needs besides kertl's own, and what `pip install` takes for each.
        quantizations: What `quantize` may be besides None.
        quantizing_packages: What quantising needs beside `packages`.
        trained_ranges: Whether "int8" takes the ranges of activations of a model that was trained for 8 bits.
        most_checked: With how many images at most it is compared, where its runtime here is slow; None for no limit.
        fixed_batch: Whether its batch can be one number of pictures instead of any.
        backends: On which of Keras' backends it can be written.
    """

    name: ClassVar[str]
    suffix: ClassVar[str] = ""
    packages: ClassVar[Mapping[str, str]] = {}
    quantizations: ClassVar[tuple[str, ...]] = ()
    quantizing_packages: ClassVar[Mapping[str, str]] = {}
    trained_ranges: bool = False
    most_checked: ClassVar[int | None] = None
    fixed_batch: ClassVar[bool] = True
    backends: ClassVar[tuple[str, ...]] = ("tensorflow",)

    def obstacle(self, quantize: str | None = None) -> str:
        """Why it cannot be written or checked here, and what to do; empty if it can."""
        backend = keras.backend.backend()
        if backend not in self.backends:
            return f"it is written on Keras' TensorFlow backend, and this is {backend}; set KERAS_BACKEND=tensorflow"
        packages = {**self.packages, **(self.quantizing_packages if quantize else {})}
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        if missing:
            extras = " ".join(sorted({packages[name] for name in missing}))
            return f"it needs {' and '.join(missing)}: pip install {extras}"
        return ""

    def with_float_groups(self, names: Sequence[str], quantize: str | None) -> "Format":
        """The format with some layer groups in float.

        Raises:
            ValueError: If it has no such form.
        """
        raise complain("float_groups", "left out unless the format is 'litert' and quantize='int8'", list(names))

    @abc.abstractmethod
    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """Write the export.

        Args:
            model: The model.
            path: The file, which does not exist yet, or the folder, which is empty.
            contract: What goes with it, as `contract_of` gives it, with a number in front of the shape of the input
                where the batch is fixed; entries may be changed to what is written.
            quantize: One of `quantizations`, or None.
            samples: Training images, `uint8`, where the quantisation measures activations on them.
        """

    def is_there(self, path: Path) -> bool:
        """Whether such a file or folder is at a path, which an export may replace."""
        return (path / NOTE).is_file()

    @abc.abstractmethod
    def open(self, path: Path) -> Runtime:
        """Load an export in its own runtime."""

    def also_checked(self, path: Path, files: list[str]) -> np.ndarray | None:
        """Predictions for image files by another door of the export; None if it has none."""
        return None

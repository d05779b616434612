"""A `.keras` file, which plain Keras loads."""

import zipfile
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from kertl._runtimes import Runtime
from kertl.exporting._format import Format
from kertl.model import load, save


class KerasFile(Format):
    """The model as `kertl.save` writes it; the contract is its member `kertl.json` in `kertl.load`'s own form."""

    name = "keras"
    fixed_batch = False
    suffix = ".keras"
    backends: ClassVar[tuple[str, ...]] = ("tensorflow", "jax", "torch")

    def write(
        self, model: keras.Model, path: Path, contract: dict[str, Any], quantize: str | None, samples: np.ndarray | None
    ) -> None:
        """See `Format`."""
        save(model, path)

    def is_there(self, path: Path) -> bool:
        """See `Format`."""
        return zipfile.is_zipfile(path)

    def open(self, path: Path) -> Runtime:
        """See `Format`."""
        model = load(path)
        return lambda images: np.asarray(model.predict_on_batch(images))

"""The packages whose layers a model file may hold: KerasHub and KerasCV, imported only where one is needed."""

import importlib
import json
import re
import zipfile
from pathlib import Path
from types import ModuleType

from kertl.errors import MissingPackageError, WeightsError

# Name of the module -> (the usual name, the name for pip).
PACKAGES = {"keras_hub": ("KerasHub", "keras-hub"), "keras_cv": ("KerasCV", "keras-cv")}


def import_package(name: str, needed_by: str) -> ModuleType:
    """The package `name`, imported now.

    Raises:
        ImportError: If it is missing or cannot be imported; the message names the command that installs it.
    """
    called, distribution = PACKAGES[name]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingPackageError(
            f"{needed_by} needs {called}, which cannot be imported ({error}). "
            f"Install it with: pip install {distribution}"
        ) from error


def import_packages_of(path: Path) -> None:
    """Import the packages whose layers the model in a `.keras` file holds, so that Keras finds them.

    Raises:
        WeightsError: If the file is not a `.keras` file.
        ImportError: If a package is missing; the message names the command that installs it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, RecursionError) as error:
        raise WeightsError(f"Keras cannot load the model in {str(path)!r}: {error}", code="model-file") from error
    modules = set(re.findall(r'"module": "(\w+)', json.dumps(config)))
    for name in sorted(modules & PACKAGES.keys()):
        import_package(name, f"The model in {str(path)!r}")

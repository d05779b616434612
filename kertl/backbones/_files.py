"""Weights and models from files that others made.

Keras' safe mode is never switched off. Whatever does not fit exactly is refused: no layer is skipped in silence.
"""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras

from kertl._checks import nearest
from kertl.backbones._packages import import_packages_of
from kertl.errors import WeightsError
from kertl.groups import features_of, find_chain
from kertl.inspection import DAMAGED, NOTE, refuse_bomb, refuse_endless

MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")


def load_model_file(path: Path) -> keras.Model:
    """The model in a `.keras` or `.h5` file, not compiled.

    Raises:
        WeightsError: If there is no such file, or it holds no model that Keras can load safely.
        ImportError: If it holds layers of KerasHub or KerasCV, and that package is missing.
    """
    if not path.is_file():
        raise WeightsError(f"There is no model file {str(path)!r}.", code="file-missing")
    refuse_endless(path)
    if not holds_model(path):
        raise WeightsError(
            f"{str(path)!r} holds weights but no model. Pass it as `weights=` together with the name of the backbone.",
            code="model-file",
        )
    refuse_bomb(path)
    if path.suffix == ".keras":
        import_packages_of(path)
    try:
        model = keras.saving.load_model(path, compile=False)
    except DAMAGED as error:
        raise not_loaded(path, error) from error
    model.file_name = str(path)
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            model.made_by_kertl = NOTE in archive.namelist()
    return model


def not_loaded(path: Path, error: Exception) -> WeightsError:
    """The error for a model that Keras cannot load, without the model's whole description that Keras adds."""
    unknown = re.search(r"Could not locate (?:class|function|object) '?([\w.>]+)", str(error))
    if unknown is None:
        code = "untrusted" if "safe_mode" in str(error) else "model-file"
        return WeightsError(f"Keras cannot load the model in {str(path)!r}: {error}", code=code)
    name = unknown.group(1).rpartition(">")[2]
    module = re.search(rf"'module': '([\w.]+)', 'class_name': '{re.escape(name)}'", str(error))
    return WeightsError(
        f"The model in {str(path)!r} holds {name!r}, which is not Keras' own. Load it in "
        f"`keras.saving.custom_object_scope({{{name!r}: ...}})`, or on the command line with "
        f"`--custom {module.group(1) if module else 'MODULE'}:{name}`.",
        code="untrusted",
    )


def holds_model(path: Path) -> bool:
    """Whether a file holds a whole model rather than weights alone."""
    if path.suffix == ".keras":
        return True
    if path.name.endswith(".weights.h5"):
        return False
    try:
        with h5py.File(path) as file:
            return "model_config" in file.attrs
    except DAMAGED as error:
        raise WeightsError(f"{str(path)!r} is not an HDF5 file: {error}", code="model-file") from error


def check_weights_file(path: Path) -> None:
    """Raise if there is no such file, before time goes into building a model for it.

    Raises:
        WeightsError: If there is no such file.
    """
    if not path.is_file():
        hint = nearest(path.name, ["imagenet"]) or "Pass 'imagenet', None for random weights, or a file."
        raise WeightsError(f"There is no weights file {str(path)!r}. {hint}", code="file-missing")


def load_weights_file(model: keras.Model, path: Path) -> None:
    """Give `model` the weights in a file: bare weights, or a whole model that contains the architecture.

    Raises:
        WeightsError: If the file cannot be read, or holds another architecture; the message names the first difference.
    """
    check_weights_file(path)
    refuse_endless(path)
    if holds_model(path):
        _copy_weights(features_of(load_model_file(path)), model, path)
        return
    refuse_bomb(path)
    try:
        model.load_weights(path)
    except DAMAGED as error:
        raise WeightsError(
            f"The weights in {str(path)!r} do not fit {model.name!r} without its top: {error}. "
            "Of the files that keras.applications publishes, the one whose name ends in 'notop' or 'no_top' fits.",
            code="weights-fit",
        ) from error


def _copy_weights(source: keras.Model, target: keras.Model, path: Path) -> None:
    theirs, ours = _layers(source), _layers(target)
    for their_layer, our_layer in zip(theirs, ours, strict=False):
        their_kind, our_kind = _kind(their_layer), _kind(our_layer)
        if their_kind != our_kind:
            raise WeightsError(
                f"The model in {str(path)!r} is not the architecture {target.name!r}: where that has "
                f"{our_layer.name!r} ({our_kind}), the file has {their_layer.name!r} ({their_kind}).",
                code="weights-fit",
            )
    if len(theirs) != len(ours):
        raise WeightsError(
            f"The model in {str(path)!r} is not the architecture {target.name!r}: it has {len(theirs)} layers before "
            f"its classifier, {target.name!r} has {len(ours)}.",
            code="weights-fit",
        )
    for their_layer, our_layer in zip(theirs, ours, strict=True):
        our_layer.set_weights(their_layer.get_weights())


def _layers(model: keras.Model) -> Sequence[Any]:
    """The layers that change what a model computes, from the first with weights or a scale on."""
    steps = find_chain(model).graph.steps
    return [step.operation for step in steps if step.variables or isinstance(step.operation, keras.layers.Rescaling)]


def _kind(layer: Any) -> str:
    shapes = ", ".join("x".join(map(str, weight.shape)) or "scalar" for weight in layer.weights)
    return f"{type(layer).__name__}: {shapes}" if shapes else type(layer).__name__

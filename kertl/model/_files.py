"""Saving and loading a model: a plain `.keras` file with one more member, `kertl.json`."""

import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any

import keras

from kertl import _checks
from kertl._checks import complain
from kertl.backbones import load_model_file, not_loaded, refuse_nan, store_positions
from kertl.errors import WeightsError
from kertl.groups import functional_of
from kertl.inspection import DAMAGED, NOTE
from kertl.model._info import ModelInfo, model_info, set_model_info
from kertl.model._outputs import graph_ends
from kertl.model._trained_on import trained_in
from kertl.run_files import MODEL_FILE, SUMS, local_run, model_of_run, read_text, replace_file, sha256_of
from kertl.tasks import task_named


def save(model: keras.Model, path: str | Path) -> None:
    """Save a model as a `.keras` file that plain Keras loads; the old file stays until the new one is complete.

    Optimizer, loss and metrics are left out. Task, class names, backbone, version and the kind of pictures that the
    model takes go into the member `kertl.json`, which Keras ignores.

    Args:
        model: A functional model, with or without what `kertl.build` noted.
        path: Ends in ".keras".

    Raises:
        TypeError: If the model is subclassed or not built.
        ValueError: If `path` has another suffix.
    """
    path = _checks.path("path", path)
    if path.suffix != ".keras":
        raise complain("path", "a file name that ends in '.keras'", str(path))
    functional_of(model, single=False)
    info = model_info(model)
    store_positions(model)
    bare = keras.Model(*graph_ends(model), name=model.name)

    def write(beside: Path) -> None:
        keras.saving.save_model(bare, beside)
        if info is not None:
            with zipfile.ZipFile(beside, "a") as archive:
                archive.writestr(NOTE, json.dumps(info.to_json(), indent=2))

    replace_file(path, write)


def load(path: str | Path) -> keras.Model:
    """Load a model from a `.keras` or `.h5` file, not compiled, with what `kertl.save` noted about it.

    What a model from elsewhere does not know about itself, `kertl.model.describe` tells. For layers of your own, import
    their module first, and if they are not registered, load in a `keras.saving.custom_object_scope`.

    Args:
        path: A `.keras` file, written by kertl or by plain Keras; a `.h5` or `.hdf5` file of plain Keras; or a run
            directory, whose model.keras is loaded. A model from there remembers the images that the run trained on, so
            that `kertl.evaluate` says so where some of them are evaluated.

    Raises:
        WeightsError: If there is no such file or Keras cannot load it; Keras' safe mode stays on. If it would become
            huge when it is read, a weight is NaN or infinite, or what is noted does not go with the model's outputs. If
            a run directory has another checksum for it, or none because the run has not finished.
        ImportError: If the model holds layers of KerasHub or KerasCV, and that package is missing; the message names
            the command that installs it.

    Example:
        >>> import kertl, tempfile
        >>> from pathlib import Path
        >>> model = kertl.build("MobileNetV2", class_names=["cat", "dog"], weights=None, input_shape=(32, 32, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kertl.save(model, Path(folder) / "m.keras")
        ...     kertl.model.model_info(kertl.load(Path(folder) / "m.keras")).class_names
        ('cat', 'dog')
    """
    path = local_run(path, "path")
    if path.is_dir():
        path = model_of_run(path)
        _check_sum(path)
    model = load_model_file(path)
    refuse_nan(model)
    noted = _noted(path) if getattr(model, "made_by_kertl", False) else None
    try:
        info = None if noted is None else ModelInfo.from_json(noted)
    except (ValueError, TypeError, KeyError) as error:
        raise not_loaded(path, error) from error
    if info is not None:
        _check_outputs(path, model, info)
    if info is None or noted is None:
        return model
    # Older files did not say what pictures the model takes; those of models that take features say null.
    takes_pictures = noted.get("channels", "unknown") is not None
    if path.name == MODEL_FILE:
        info = dataclasses.replace(info, trained_on=trained_in(path.parent))
    return set_model_info(model, info, takes_pictures=takes_pictures)


def _check_sum(path: Path) -> None:
    """Check that the model of a run directory is the one that the run wrote, where the run says which.

    Raises:
        WeightsError: If it is not.
    """
    sums = path.with_name(SUMS)
    if not (path.is_file() and sums.is_file()):
        return
    told = [line.split("  ")[0] for line in read_text(sums).splitlines() if line.endswith(f"  {path.name}")]
    if told and told[0] != (found := sha256_of(path)):
        # Of a damaged file only restoring helps.
        changed = (
            ", or, if you changed it, pass the file itself" if zipfile.is_zipfile(path) else ", since it is damaged"
        )
        raise WeightsError(
            f"The model in {str(path)!r} must be the one that the run wrote. Received: a file with the SHA-256 "
            f"{found}, which is not the one in {SUMS}. Restore it{changed}.",
            code="damaged",
        )


def _noted(path: Path) -> Any:
    """What `kertl.save` noted in a file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(NOTE))
    except DAMAGED as error:
        raise not_loaded(path, error) from error


def _check_outputs(path: Path, model: keras.Model, info: ModelInfo) -> None:
    """Raise if the names or thresholds noted in a file are not as many as the model's outputs ask for."""
    outputs = model.output_shape[-1] if isinstance(model.output_shape, tuple) else None
    named = task_named(info.task).outputs(len(info.class_names)) if info.class_names else outputs
    if outputs != named or len(info.thresholds) not in (0, outputs):
        raise WeightsError(
            f"The {NOTE} in {str(path)!r} must go with the {outputs} outputs of the model. Received: "
            f"{len(info.class_names)} class names and {len(info.thresholds)} thresholds for task {info.task!r}.",
            code="model-file",
        )

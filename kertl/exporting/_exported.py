"""A model that answers from its export: what `kertl.evaluation` asks of a model, without Keras."""

import importlib.util
from pathlib import Path

import numpy as np

from kertl._checks import complain, one_of
from kertl._places import as_given
from kertl._runtimes import OPENERS, PACKAGES
from kertl.errors import ExportError
from kertl.inspection import FOLDER, NotedExport, noted_exports, why_stale
from kertl.model import ModelInfo
from kertl.run_files import MODEL_FILE, local_run
from kertl.tasks import task_named

ENGINES = ("keras", *OPENERS, "auto")
"""What answers: the model itself, one of its exports, or the first export that may."""
_CLOSE = 1e-4  # how near an export must be, in probability or in standard deviations of a target


class Exported:
    """An export of the model of a run, in its own runtime; `kertl.predict` and `kertl.answers` take it as a model.

    Args:
        run_dir: The run directory.
        engine: The format.
        noted: What was noted of the export.

    Attributes:
        name: The name of the model.
        engine: The format.
        path: The export.
        digest: SHA-256 of the model that it is an export of.
        input_shape: `(None, height, width, channels)`.
        output_shape: `(None, outputs)`.

    Raises:
        ExportError: If it cannot be loaded.
    """

    def __init__(self, run_dir: Path, engine: str, noted: NotedExport) -> None:
        self.engine, self.path = engine, run_dir / FOLDER / noted.path
        self.digest = noted.model
        try:
            contract = noted.contract
            size = tuple(contract["input"]["shape"][1:3])
            self._kertl_info = ModelInfo.from_json(
                {
                    "task": contract["task"],
                    "class_names": contract["output"]["labels"],
                    "backbone": contract["backbone"] or "",
                    "kertl": contract["kertl"],
                    "thresholds": contract["thresholds"] or [],
                    "image_size": list(size),
                    "channels": contract["input"]["shape"][3],
                    "resize": contract["input"]["resize"],
                }
            )
            self.name = str(contract["model"])
            self._run = OPENERS[engine](self.path)
        except Exception as error:  # each runtime raises its own
            raise ExportError(
                f"The export {str(self.path)!r} cannot be loaded: {type(error).__name__}: {error} "
                f"Answer with `--engine keras`, or write it again: kertl export {as_given(run_dir)} --format {engine}."
            ) from error
        info = self._kertl_info
        self.input_shape = (None, *size, info.channels)
        self.output_shape = (None, task_named(info.task).outputs(len(info.class_names)))

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """Predictions for a batch of pictures of 0..255, shape `(n, height, width, channels)`."""
        return self._run(images)


def exported(run_dir: str | Path, engine: str = "auto") -> tuple[Exported | None, str]:
    """An export that may answer in place of the model of a run, loaded; or None, and why there is none.

    It must have been written by `kertl.export` in float32 into the folder `export` of the run, agree with the model on
    real images within 0.0001 (in probability, or in standard deviations of a target), and neither it nor the model may
    have changed since, by their SHA-256.

    Args:
        run_dir: The run directory.
        engine: "openvino", "onnx" or "litert"; "auto" for the first of them that may, in this order; "keras" for none.

    Raises:
        ExportError: If the export cannot be loaded.
        RunError: If what was noted of the exports cannot be read.
        ValueError: If the engine is unknown, or its export may not answer.

    Example:
        >>> import kertl
        >>> kertl.exporting.exported("runs/1")
        (None, 'runs/1 has no model.keras')
    """
    one_of("engine", engine, ENGINES)
    folder = local_run(run_dir, "run_dir")
    if engine == "keras":
        return None, "it was asked for"
    if not (folder / MODEL_FILE).is_file():
        reasons = [f"{as_given(folder)} has no {MODEL_FILE}"]
    else:
        known = {one.format: one for one in noted_exports(folder) if one.answers}
        reasons = []
        for name in OPENERS if engine == "auto" else (engine,):
            if name not in known:
                continue
            reason = _why_not(folder, name, known[name])
            if not reason:
                return Exported(folder, name, known[name]), ""
            reasons.append(reason)
    wanted = "openvino" if engine == "auto" else engine
    if not reasons:
        here = as_given(folder)
        reasons = [f"{here}/{FOLDER} has no export that was checked; kertl export {here} --format {wanted}"]
    if engine != "auto":
        raise complain("engine", "one whose export may answer", engine, f"{'; '.join(reasons)}.", code="export")
    return None, "; ".join(reasons)


def _why_not(folder: Path, name: str, noted: NotedExport) -> str:
    """Why an export may not answer; empty if it may."""
    if importlib.util.find_spec(PACKAGES[name]) is None:
        return f"for the {name} export {PACKAGES[name]} is not installed (pip install 'kertl[{name}]')"
    if not noted.deviation <= _CLOSE:
        return f"the {name} export differs by {noted.deviation:.1g}, more than {_CLOSE:g}"
    return why_stale(folder, noted)

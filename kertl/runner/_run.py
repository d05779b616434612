"""The result of a recipe."""

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich import box
from rich.table import Table

from kertl import _checks
from kertl._terminal import shortened
from kertl.data import ImageData
from kertl.diagnosis import Curves, Diagnosis, judge, known_of
from kertl.errors import RunError
from kertl.recipe import Recipe
from kertl.report import REPORT, write_report
from kertl.results import LEFT_OUT, Result, table_text
from kertl.runner._picture import draw

# For each task the metrics that say most in one line.
_FEW = 5
_TOLD = ("accuracy", "balanced_accuracy", "exact", "macro_f1", "auc", "mae", "rmse", "r2")


@dataclasses.dataclass(frozen=True)
class StageValue:
    """How a stage ended."""

    stage: int
    """Its number, counted from 0."""
    at: str | int
    """Its boundary."""
    metric: str
    """The metric that stages are compared by; lower is better."""
    value: float | None
    """Its value; None if it was not finite, or there is nothing to compare by."""

    def __str__(self) -> str:
        how = f" with {self.metric} {self.value:.4f}" if self.value is not None else ""
        return f"stage {self.stage + 1} (at={self.at!r}) ended{how}"


@dataclasses.dataclass(frozen=True, repr=False)
class Run(Result):
    """The result of a recipe.

    Its JSON has everything but the model, which `from_json(text, model=...)` takes.

    Attributes:
        model: The trained model.
        recipe: The recipe.
        rows: One mapping per epoch: stage, boundary, epoch (counted from 1 through all stages), rate, losses, metrics.
        metrics: `validation` and `test`, each as from `kertl.evaluate`; empty parts are left out. If the best stage was
            trained on cached features in float32, they are computed from features, which rounds differently.
        run_dir: Where the files of the run are; None if it wrote none.
        best_stage: The stage, counted from 0, whose weights the model has: that with the lowest validation loss. If the
            stages monitor different losses, it is the loss of the task without smoothing and penalties; without a
            validation set it is the last stage.
        stages: How each stage ended.
        data: The images; None for a run that was read from a directory without them.
        predictions: Those for each part, of the validation set from before the head was solved once more; None for a
            run that was read from a directory.
        refit: If its head was solved once more on the training and the validation images: the `stage`, how many
            `images` that were, and the `strength` of the penalty. The metrics of the validation set are from before.
        average: If the model averages its stages: which `stages`, counted from 0, their `shares`, and whether each
            image is also predicted `mirrored`. `best_stage` is then the best of them by itself.
    """

    model: keras.Model = dataclasses.field(metadata=LEFT_OUT)
    recipe: Recipe
    rows: Sequence[dict[str, Any]]
    metrics: Mapping[str, Any]
    run_dir: Path | None
    best_stage: int = 0
    stages: Sequence[StageValue] = ()
    refit: Mapping[str, Any] | None = None
    data: ImageData | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    predictions: Mapping[str, np.ndarray] | None = dataclasses.field(default=None, metadata=LEFT_OUT)
    average: Mapping[str, Any] | None = None

    @property
    def history(self) -> dict[str, list[Any]]:
        """The rows by column, as in Keras' `History.history`, through all stages."""
        columns: dict[str, list[Any]] = defaultdict(list)
        for row in self.rows:
            for name, value in row.items():
                columns[name].append(value)
        return dict(columns)

    @property
    def diagnosis(self) -> Diagnosis:
        """What the run shows: a verdict in words, its evidence, and what to try, as `kertl.diagnose` has it."""
        return judge(Curves.of_rows(self.rows), known_of(self.metrics, self.recipe))

    def table(self) -> str:
        """How the stages ended, which of them the model is from, the metrics of each part, and the verdict."""
        table = Table(box=box.SIMPLE)
        for heading, justify in (("stage", "right"), ("at", "left"), ("epochs", "right"), ("", "right"), ("", "left")):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for one in self.stages:
            epochs = sum(row["stage"] == one.stage for row in self.rows)
            value = "" if one.value is None else f"{one.metric} {one.value:.4f}"
            table.add_row(str(one.stage + 1), str(one.at), str(epochs), value, self.role(one.stage))
        lines = []
        for part, metrics in self.metrics.items():
            told = [f"{name} {metrics[name]:.4f}" for name in _TOLD if isinstance(metrics.get(name), float)]
            before = " (before the head was solved once more)" if self.refit and part == "validation" else ""
            lines.append(f"{part.capitalize()}{before}: {', '.join(told)}; {metrics['images']} images.\n")
        lines += self._thresholds()
        if self.average and self.average["mirrored"]:
            lines.append("Each image is also predicted as its mirror image.\n")
        if self.refit:
            lines.append(f"The head was then solved on all {self.refit['images']} training and validation images.\n")
        if self.rows:
            lines.append(f"{self.diagnosis.summary}\n")
        return table_text(table) + "".join(lines)

    def role(self, stage: int) -> str:
        """What of the model comes from a stage, counted from 0, in words; empty if nothing does."""
        if self.average is None:
            return "this is the model" if stage == self.best_stage else ""
        shares = dict(zip(self.average["stages"], self.average["shares"], strict=True))
        return f"{shares[stage]:.0%} of the model" if stage in shares else ""

    def _thresholds(self) -> list[str]:
        """From which probability on a class counts as predicted, and why from there."""
        last: Mapping[str, Any] = next(reversed(list(self.metrics.values())), {})
        shown = [f"{shortened(name)} {threshold:.4f}" for name, threshold in last.get("thresholds", {}).items()]
        more = f" and {len(shown) - _FEW} more" if len(shown) > _FEW else ""
        why = "chosen on the validation set for the highest F1" if "validation" in self.metrics else "not tuned"
        why += ", before the head was solved once more" if self.refit and "validation" in self.metrics else ""
        return [f"Thresholds ({why}): {', '.join(shown[:_FEW])}{more}.\n"] if shown else []

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw the losses by epoch, with the stages marked.

        Args:
            path: A picture file to write, such as a PNG; its suffix decides the format.

        Returns:
            The matplotlib figure, which a notebook shows.
        """
        return draw(self.rows, self.best_stage, path)

    def report(self, path: str | Path | None = None) -> Path:
        """Write a page that says how good the model is, where it fails, how it was trained, and how to repeat it.

        One HTML file without anything beside it. With the images at hand it shows those with the greatest losses, the
        places that speak for their predictions, and labels that are probably wrong, see `kertl.interpret`.

        Args:
            path: The file; None for report.html in the run directory.

        Returns:
            The path of the file.

        Raises:
            DataError: If an image cannot be read.
            RunError: If the file cannot be written, or the run has no directory and there is no path.
        """
        from kertl.runner._story import story_of

        if path is None and self.run_dir is None:
            raise RunError(
                "`path` must be given for a run without a directory. Received: path=None.", code="run-directory"
            )
        file = _checks.path("path", path) if path is not None else Path(str(self.run_dir)) / REPORT
        features = None if self.run_dir is None else self.run_dir / "features"
        return write_report(story_of(self, features), file)

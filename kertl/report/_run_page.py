"""What the pages say: of a run, of several, and of any other result."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kertl
from kertl.data import ImageData
from kertl.interpretation import Interpretation
from kertl.recipe import Recipe
from kertl.report._figures import compared, curves, figure_as_svg
from kertl.report._page import write_page
from kertl.report._thumbnails import thumbnail
from kertl.results import Result
from kertl.tasks import TASKS, Task

_MOST_CLASSES = 20  # of a confusion matrix that is shown whole
_MOST_ISSUES = 100
_HIGHER_IS_BETTER = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "micro_f1",
    "f1",
    "auc",
    "exact",
    "average_precision",
    "r2",
)
_LOWER_IS_BETTER = ("crossentropy", "mae", "rmse")


@dataclasses.dataclass(frozen=True)
class Story:
    """What there is to say of a run.

    Attributes:
        name: Its name.
        model: A line about the model.
        recipe: The recipe.
        rows: As in `kertl.Run`.
        metrics: As in `kertl.Run`.
        stages: The stages as dictionaries: number, at, epochs, value, note.
        best_stage: As in `kertl.Run`.
        reasons: Why the recipe was chosen, and what happened to it, one sentence each.
        environment: What environment.json has.
        command: What repeats the run.
        data: Its images, for pictures and counts; None if they are not at hand.
        interpretation: What `kertl.interpret` found; None if the images are not at hand.
        refit: As in `kertl.Run`.
        verdict: A diagnosis: its `sentence`, lines of `evidence`, and what to try as `code`; None without one.
    """

    name: str
    model: str
    recipe: Recipe
    rows: Sequence[dict[str, Any]]
    metrics: Mapping[str, Any]
    stages: Sequence[Mapping[str, Any]]
    best_stage: int
    reasons: Sequence[str]
    environment: Mapping[str, Any]
    command: str
    data: ImageData | None = None
    interpretation: Interpretation | None = None
    refit: Mapping[str, Any] | None = None
    verdict: Mapping[str, Any] | None = None

    @property
    def task(self) -> Task | None:
        """The task, by the metrics; None if there are none."""
        last = list(self.metrics.values())[-1:]
        return next(
            (one for one in TASKS.values() for found in last if set(one.part_columns.values()) <= found.keys()), None
        )


def write_report(story: Story, path: Path) -> Path:
    """Write the page of a run.

    Raises:
        DataError: If an image that is shown cannot be read.
        RunError: If the file cannot be written.
    """
    found, task = story.interpretation, story.task
    part = found.part if found is not None else list(story.metrics)[-1] if story.metrics else None
    values: dict[str, Any] = {
        "title": story.name,
        "subtitle": story.model,
        "version": kertl.__version__,
        "cards": _cards(story, part),
        "verdict": story.verdict,
        "parts": [f"{name}, before the refit" if _is_before(story, name) else name for name in story.metrics],
        "metrics": _metrics(story),
        "metrics_caption": _metrics_caption(story, part, found),
        "thresholds": _thresholds(story, part),
        "stages": story.stages,
        "reasons": story.reasons,
        "curves": figure_as_svg(curves(list(story.rows), story.best_stage), "curves") if len(story.rows) > 1 else None,
        "curves_caption": "By epoch, through all stages; a stage begins at each vertical line, under its boundary.",
        **_errors(story, task, part),
        **_pictures(story),
        "calibration": _calibration(found),
        "notes": found.notes if found is not None else _why_no_pictures(story),
        "counts": _counts(story.data),
        **_issues(story.data),
        "command": story.command,
        "recipe": json.loads(story.recipe.to_json()),
        "environment": story.environment,
    }
    anchors = {
        "metrics": ("How well", True),
        "training": ("Training", True),
        "errors": ("Errors", values["confusion"] or values["confused"] or values["classes"]),
        "losses": ("Greatest losses", values["losses"]),
        "calibration": ("Calibration", values["calibration"]),
        "labels": ("Labels", values["doubtful"] or values["alike"] or values["notes"]),
        "data": ("Data", True),
        "repeat": ("Repeat", True),
    }
    values["sections"] = [(anchor, text) for anchor, (text, there) in anchors.items() if there]
    return write_page("run.html", path, values)


def write_comparison(stories: Sequence[Story], path: Path) -> Path:
    """Write a page with several runs side by side.

    Raises:
        RunError: If the file cannot be written.
    """
    parts = [list(story.metrics.values())[-1] if story.metrics else {} for story in stories]
    names = list(dict.fromkeys(name for part in parts for name, value in part.items() if isinstance(value, float)))
    rows = []
    for name in names:
        told = [part.get(name) for part in parts]
        known = [value for value in told if value is not None]
        best = max(known) if name in _HIGHER_IS_BETTER else min(known) if name in _LOWER_IS_BETTER else None
        rows.append({"name": name.replace("_", " "), "values": told, "best": best})
    settings = [_settings(story) for story in stories]
    before = [one for one in stories if one.metrics and _is_before(one, list(one.metrics)[-1])]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    by_run = {story.name: list(story.rows) for story in stories if story.rows}
    values = {
        "title": " and ".join(story.name for story in stories),
        "subtitle": f"{len(stories)} runs side by side",
        "version": kertl.__version__,
        "names": [story.name for story in stories],
        "metrics": rows,
        "metrics_caption": "On the test set, or the validation set where there is none; the best of each row is bold."
        + "".join(f" {_BEFORE}" for _ in before[:1]),
        "curves": figure_as_svg(compared(by_run), "curves") if by_run else None,
        "settings": [
            {
                "name": key,
                "values": [one.get(key, "-") for one in settings],
                "differs": len({one.get(key) for one in settings}) > 1,
            }
            for key in keys
        ],
    }
    return write_page("comparison.html", path, values)


def write_result(result: Result, path: Path, title: str) -> Path:
    """Write a page with the picture and the table of a result: a search, a cross-validation, a learning curve.

    Raises:
        RunError: If the file cannot be written.
    """
    draw = getattr(result, "plot", None)
    values = {
        "title": title,
        "subtitle": type(result).__name__,
        "version": kertl.__version__,
        "figure": None if draw is None else figure_as_svg(draw, "figure"),
        "table": result.table(),
    }
    return write_page("result.html", path, values)


def _cards(story: Story, part: str | None) -> list[dict[str, Any]]:
    """The few numbers that say most."""
    if part is None or story.task is None:
        return []
    metrics = story.metrics.get(part, {})
    (heading, key), *_ = story.task.part_columns.items()
    interval = _interval(story, key)
    value = metrics.get(key)
    before = ", before the refit" if _is_before(story, part) else ""
    cards = [
        {
            "name": f"{heading}, {part} set{before}",
            "value": "-" if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:.5g}",
            "note": f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}" if interval else "",
        }
    ]
    if "majority" in metrics:
        cards.append({"name": "Always the largest class", "value": f"{metrics['majority']:.3f}", "note": "gives this"})
    cards.append({"name": f"Images in the {part} set", "value": f"{metrics.get('images', 0):,}", "note": ""})
    stages = len(story.stages)
    cards.append({"name": "Epochs", "value": f"{len(story.rows)}", "note": f"in {stages} stage{'s' * (stages != 1)}"})
    return cards


def _interval(story: Story, key: str) -> list[float] | None:
    found = story.interpretation
    intervals: Mapping[str, list[float]] = {} if found is None else found.metrics["intervals"]
    return intervals.get(key)


def _metrics(story: Story) -> list[dict[str, Any]]:
    parts = list(story.metrics.values())
    names = list(dict.fromkeys(name for part in parts for name, value in part.items() if isinstance(value, float)))
    return [
        {
            "name": name.replace("_", " "),
            "values": [part.get(name) for part in parts],
            "interval": None if name == "majority" else _interval(story, name),
        }
        for name in names
    ]


def _metrics_caption(story: Story, part: str | None, found: Interpretation | None) -> str:
    if part is None:
        return "There is neither a validation nor a test set."
    told = "Without the images there are no intervals."
    if found is not None:
        told = (
            f"The interval is that of the {part} set, over its {found.metrics['images']:,} images: Wilson's of a share "
            "of the images, else by bootstrap; none where every draw gives the same."
        )
    if any(_is_before(story, name) for name in story.metrics):
        told += f" {_BEFORE}"
    return told


_BEFORE = (
    "The metrics of the validation set are from before the refit, in which the head was solved once more on the "
    "training and the validation images."
)


def _is_before(story: Story, part: str | None) -> bool:
    """Whether the metrics of a part are of a head that the model no longer has."""
    return part == "validation" and story.refit is not None


def _thresholds(story: Story, part: str | None) -> str:
    """What thresholds there are in a sentence; empty without."""
    if part is None or not story.metrics[part].get("thresholds"):
        return ""
    if "validation" not in story.metrics:
        return "A class counts as predicted from its threshold on, 0.5, which was not tuned."
    before = "" if story.refit is None else " It was chosen before the refit."
    return f"A class counts as predicted from its threshold on: that with the highest F1 on the validation set.{before}"


def _errors(story: Story, task: Task | None, part: str | None) -> dict[str, Any]:
    """The confusion matrix, the pairs that are confused, and the metrics by class or target."""
    if task is None or part is None:
        return {"confusion": None, "confused": (), "classes": None}
    metrics = story.metrics[part]
    names = list(metrics[task.outputs_of])
    counts = metrics.get("confusion")
    matrix = None
    if counts is not None and len(names) <= _MOST_CLASSES:
        matrix = {
            "names": names,
            "rows": [
                {
                    "name": name,
                    "cells": [
                        {
                            "count": count,
                            "right": column == row,
                            "strength": round(60 * count / max(sum(counts[row]), 1)),
                        }
                        for column, count in enumerate(counts[row])
                    ],
                }
                for row, name in enumerate(names)
            ],
        }
    columns = dict(task.row_columns)
    if task.output_of == "class":
        columns["images"] = "images"
    thresholds = metrics.get("thresholds", {})
    by_name = {
        "what": task.output_of,
        "columns": [*columns, *(["threshold"] if thresholds else [])],
        "rows": [
            {
                "name": name,
                "values": [
                    *(row.get(key) for key in columns.values()),
                    *([thresholds.get(name)] if thresholds else []),
                ],
            }
            for name, row in metrics[task.outputs_of].items()
        ],
    }
    found = story.interpretation
    return {
        "confusion": matrix,
        "confused": () if found is None or len(names) < 3 else found.confusions,
        "classes": by_name,
    }


def _pictures(story: Story) -> dict[str, Any]:
    """The images that are shown, with what there is to say of them."""
    found, data = story.interpretation, story.data
    if found is None or data is None:
        return {"losses": (), "losses_caption": "", "doubtful": (), "alike": ()}
    shown = _Shown(data)
    maps = [None] * len(found.top_losses) if found.maps is None else list(found.maps)
    losses = [
        {
            **vars(one),
            "file": shown.name(one.file),
            "nearest": [shown.name(line) for line in one.nearest],
            "picture": shown.picture(one.file),
            "places": None if places is None else shown.picture(one.file, places),
        }
        for one, places in zip(found.top_losses, maps, strict=True)
    ]
    told = "Images of the {} set, the greatest loss first.{}".format(
        found.part, "" if found.maps is None else f" Warm colours mark the {found.maps_show}."
    )
    doubtful = [
        {**vars(one), "file": shown.name(one.file), "picture": shown.picture(one.file)}
        for one in found.doubtful_labels or ()
    ]
    alike = [
        {
            "files": [shown.name(one.file), shown.name(one.training_file)],
            "pictures": [shown.picture(one.file), shown.picture(one.training_file)],
            "similarity": one.similarity,
            "same_label": one.same_label,
        }
        for one in found.alike[: len(found.top_losses)]
    ]
    return {
        "losses": losses,
        "losses_caption": told,
        "maps_show": found.maps_show,
        "doubtful": doubtful,
        "alike": alike,
    }


class _Shown:
    """The images of a data set by file."""

    def __init__(self, data: ImageData) -> None:
        parts = [one.in_order() for one in (data.train, data.validation, data.test) if one is not None]
        self._places = {file: (part, row) for part in parts for row, file in enumerate(part.files)}
        first = next(record.file for record in data.records if record.split == "train")
        self._before = 0 if data.root is None else len(data.train.files[0]) - len(first)

    def picture(self, file: str, places: np.ndarray | None = None) -> str:
        part, row = self._places[file]
        return thumbnail(part.reader.take(np.array([row]))[0], places)

    def name(self, file: str) -> str:
        """The file as the data set calls it."""
        return file[self._before :]


def _why_no_pictures(story: Story) -> list[str]:
    return (
        [] if story.data is not None else ["The images were not at hand, so none is shown and no loss is looked into."]
    )


def _calibration(found: Interpretation | None) -> dict[str, Any] | None:
    if found is None or found.calibration is None:
        return None
    calibration = found.calibration
    return {"sentence": calibration.sentence(), "figure": figure_as_svg(calibration.plot, "calibration")}


def _counts(data: ImageData | None) -> dict[str, Any] | None:
    """Images by class and part."""
    if data is None:
        return None
    parts = {name: one for name in ("train", "validation", "test") if (one := getattr(data, name)) is not None}
    task = TASKS[data.task]
    members = {name: task.members(np.asarray(one.labels), data.num_classes) for name, one in parts.items()}
    rows = []
    if all(one is not None for one in members.values()):
        rows = [
            {"name": name, "values": [int(np.asarray(one)[:, place].sum()) for one in members.values()]}
            for place, name in enumerate(data.class_names)
        ]
    rows.append({"name": "all images", "values": [one.num_examples for one in parts.values()]})
    return {"parts": list(parts), "rows": rows}


def _issues(data: ImageData | None) -> dict[str, Any]:
    issues = [] if data is None else [str(issue) for issue in data.issues]
    return {"issues": issues[:_MOST_ISSUES], "more_issues": len(issues) if len(issues) > _MOST_ISSUES else 0}


def _settings(story: Story) -> dict[str, str]:
    """What a run was made with, as text by name."""
    found = {"model": story.model}
    recipe = json.loads(story.recipe.to_json())
    for number, stage in enumerate(recipe.pop("stages"), start=1):
        found |= {f"stage {number}: {name}": json.dumps(value) for name, value in stage.items()}
    found |= {name: json.dumps(value) for name, value in recipe.items()}
    for name in ("cpus", "processor", "backend", "devices"):
        found[name] = json.dumps(story.environment.get(name))
    packages = story.environment.get("packages", {})
    return found | {f"version of {name}": str(version) for name, version in packages.items()}

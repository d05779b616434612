"""What the page of a run says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

import kertl
from kertl.data import ImageData
from kertl.data._issues import advice_on
from kertl.interpretation import Interpretation
from kertl.report._figures import curves, figure_as_svg
from kertl.report._page import write_page
from kertl.report._pictures import pictures
from kertl.report._story import BEFORE_REFIT, Story, in_words
from kertl.tasks import TASKS, Task

_MOST_CLASSES = 20  # of a confusion matrix that is shown whole
_MOST_ISSUES = 100


def write_report(story: Story, path: Path) -> Path:
    """Write the page of a run.

    Raises:
        DataError: If an image that is shown cannot be read.
        RunError: If the file cannot be written.
    """
    found, task = story.interpretation, story.task
    part = next(reversed(list(story.metrics)), None) if found is None or found.part not in story.metrics else found.part
    values: dict[str, Any] = {
        "title": story.name,
        "subtitle": story.model,
        "version": kertl.__version__,
        "cards": _cards(story, part),
        "verdict": story.verdict,
        "parts": [f"{name}, before the refit" if story.is_before_refit(name) else name for name in story.metrics],
        "metrics": _metrics(story),
        "metrics_caption": _metrics_caption(story, part, found),
        "thresholds": _thresholds(story, part),
        "stages": story.stages,
        "reasons": story.reasons,
        "curves": _curves(story),
        "curves_caption": "By epoch, through all stages; a stage begins at each vertical line, under its boundary.",
        **_errors(story, task, part),
        **pictures(story),
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


def _curves(story: Story) -> list[Markup]:
    """A figure for each curve, so that a narrow screen shows them below each other; none of a single epoch."""
    rows = list(story.rows)
    drawn = curves(rows, story.best_stage) if len(rows) > 1 else {}
    return [figure_as_svg(draw, f"curve-{name}") for name, draw in drawn.items()]


def _cards(story: Story, part: str | None) -> list[dict[str, Any]]:
    """The few numbers that say most."""
    if part is None or story.task is None:
        return []
    metrics = story.metrics.get(part, {})
    (heading, key), *_ = story.task.part_columns.items()
    interval = _interval(story, key)
    value = metrics.get(key)
    before = ", before the refit" if story.is_before_refit(part) else ""
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
            "name": in_words(name),
            "values": [part.get(name) for part in parts],
            "interval": _interval(story, name),
        }
        for name in names
    ]


def _metrics_caption(story: Story, part: str | None, found: Interpretation | None) -> str:
    if part is None:
        return "There is neither a validation nor a test set."
    told = "Without the images there are no intervals."
    if found is not None:
        numbers = story.task is not None and story.task.output_of == "target"
        how = "by bootstrap" if numbers else "Wilson's for a share of the images, by bootstrap for the others"
        unit = " MAE and RMSE are in the unit of each target." if numbers else ""
        told = f"Intervals are those of the {part} set with its {found.metrics['images']:,} images, {how}.{unit}"
    if any(story.is_before_refit(name) for name in story.metrics):
        told += f" {BEFORE_REFIT}"
    return told


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
    return {"parts": list(parts), "rows": rows, "heading": "class" if len(rows) > 1 else ""}


def _issues(data: ImageData | None) -> dict[str, Any]:
    issues = [] if data is None else [str(issue) for issue in data.issues]
    return {
        "issues": issues[:_MOST_ISSUES],
        "advice_on_issues": "" if data is None else advice_on(data.issues),
        "more_issues": len(issues) if len(issues) > _MOST_ISSUES else 0,
    }

"""The page of several runs side by side, and that of any other result."""

import json
from collections.abc import Sequence
from pathlib import Path

import kertl
from kertl.report._figures import compared, figure_as_svg
from kertl.report._page import write_page
from kertl.report._story import BEFORE_REFIT, Story, in_words
from kertl.results import Result

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
        rows.append({"name": in_words(name), "values": told, "best": best})
    settings = [_settings(story) for story in stories]
    before = [one for one in stories if one.metrics and one.is_before_refit(list(one.metrics)[-1])]
    keys = list(dict.fromkeys(key for one in settings for key in one))
    by_run = {story.name: list(story.rows) for story in stories if story.rows}
    values = {
        "title": " and ".join(story.name for story in stories),
        "subtitle": f"{len(stories)} runs side by side",
        "version": kertl.__version__,
        "names": [story.name for story in stories],
        "metrics": rows,
        "metrics_caption": "On the test set, or the validation set where there is none; the best of each row is bold."
        + "".join(f" {BEFORE_REFIT}" for _ in before[:1]),
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

"""What the report of a run says that stands in the run and its directory."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kertl import hardware
from kertl._terminal import counted
from kertl.interpretation import interpret
from kertl.model import model_info
from kertl.report import Story
from kertl.run_files import read_json
from kertl.runner._run import Run
from kertl.tasks import task_named


def story_of(run: Run, cache_dir: Path | None = None) -> Story:
    """What there is to say of a run; its images are looked into if it has them."""
    told = _interpreted(run, cache_dir)
    environment = _json(run, "environment.json") or hardware.describe()
    return Story(
        name=run.run_dir.resolve().name if run.run_dir else run.model.name,
        model=_line(run),
        recipe=run.recipe,
        rows=run.rows,
        metrics=run.metrics,
        stages=[
            {
                "number": one.stage + 1,
                "at": one.at,
                "epochs": sum(row["stage"] == one.stage for row in run.rows),
                "value": "" if one.value is None else f"{one.metric} {one.value:.4f}",
                "note": run.role(one.stage),
            }
            for one in run.stages
        ],
        best_stage=run.best_stage,
        reasons=_reasons(run),
        environment={name: value for name, value in environment.items() if name != "images"},
        command=_command(run, environment),
        data=run.data,
        interpretation=told,
        refit=run.refit,
        verdict=_verdict(run),
    )


def _interpreted(run: Run, cache_dir: Path | None) -> Any:
    data = run.data
    if data is None:
        return None
    part = next((name for name in ("test", "validation") if getattr(data, name) is not None), "train")
    return interpret(run.model, data, part=part, predictions=run.predictions or {}, cache_dir=cache_dir)


def _verdict(run: Run) -> dict[str, Any] | None:
    """What the training shows, for the top of the page."""
    if not run.rows:
        return None
    found = run.diagnosis
    numbers = [f"{name.replace('_', ' ')} {value:.4g}" for name, value in found.evidence.items()]
    evidence = [", ".join(numbers), *(f"Also: {other.sentence}" for other in found.others)]
    return {"sentence": found.sentence, "evidence": [line for line in evidence if line], "code": found.next}


def _line(run: Run) -> str:
    info = model_info(run.model)
    backbone = info.backbone if info is not None else run.model.name
    size = " by ".join(str(side) for side in run.model.input_shape[1:3])
    if info is None:
        return f"{backbone} at {size}"
    count = len(info.class_names)
    kinds = (
        counted(count, "target")
        if task_named(info.task).output_of == "target"
        else f"{count:,} class{'es' * (count != 1)}"
    )
    return f"{backbone} at {size}, {info.task.replace('_', ' ')}, {kinds}"


def _reasons(run: Run) -> list[str]:
    choices: Mapping[str, Any] = _json(run, "choices.json") or {}
    chosen = choices.get("recipe", {})
    reasons = [f"{reason[:1].upper()}{reason[1:]}" for reason in chosen.get("reasons", ())]
    reasons += [
        f"Stage {int(number) + 1} computed {one['part_size']} images of a batch at once. {one['part_size_reason']}"
        for number, one in choices.items()
        if "part_size" in one
    ]
    if run.refit:
        reasons.append(
            f"The head was then solved once more on all {run.refit['images']} training and validation images; the "
            "metrics of the validation set are from before."
        )
    return reasons


def _command(run: Run, environment: Mapping[str, Any]) -> str:
    """The command line, or the call."""
    command = environment.get("command")
    if isinstance(command, list) and command:
        return shlex.join(map(str, command))
    folder = run.run_dir.name if run.run_dir else "runs/1"
    return (
        f'recipe = kertl.Recipe.from_json(Path("{folder}/recipe.json").read_text())\n'
        f'run = kertl.fine_tune(model, data, recipe=recipe, run_dir="runs/again")'
    )


def _json(run: Run, name: str) -> Any:
    """What a file of the run directory has; None if there is no directory or no such file."""
    file = None if run.run_dir is None else run.run_dir / name
    return read_json(file) if file is not None and file.exists() else None

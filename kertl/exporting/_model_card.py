"""The model card: what a model is, was trained on, does and does not do, for whoever gets an export of it."""

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kertl
from kertl import hardware
from kertl._checks import complain
from kertl._memory import megabytes
from kertl._terminal import printable
from kertl.backbones import APPLICATIONS
from kertl.exporting._result import Export
from kertl.exporting._subject import Subject
from kertl.inspection import CARD, is_home, noted_exports, why_stale
from kertl.run_files import read_json, read_text, write_text
from kertl.tasks import mean_interval

_MARK = "<!-- written by kertl.export; an export into this folder writes it anew -->"
_LARGEST_TABLE = 2**30
_WORST = 3  # classes named among the limits
# What a recipe says, where it is not as usual, is left to recipe.json.
_OF_A_STAGE = ("at", "solver", "epochs", "learning_rate", "schedule", "optimizer", "augment", "loss")
_OF_A_SOLVED_STAGE = ("at", "solver")  # nothing else has an effect there
# What `split` means in a table.
_PARTS = ("train", "validation", "test")


def check_card(folder: Path) -> None:
    """Raise if a folder has a model card that somebody else wrote.

    Raises:
        ValueError: If so.
    """
    card = folder / CARD
    if card.exists() and _MARK not in read_text(card):
        raise complain("path", f"in a folder without a {CARD} of another origin", str(card), "Move one of them away.")


def write_card(folder: Path, subject: Subject, exports: Sequence[Export], seconds: float) -> Path:
    """Write the model card of exports that are in a folder.

    Args:
        folder: Where it goes.
        subject: The model and its images.
        exports: What was written.
        seconds: How long that took.
    """
    known = _known(subject.run_dir)
    sections = {
        "What it does": _task(subject),
        "How to ask it": _input(subject),
        "Data": _data(subject, known),
        "Metrics": _metrics(known, exports),
        "Exports": _exports(folder, [*_others(folder, subject, exports), *exports]),
        "Recipe": _recipe(known),
        "Limits": _limits(subject, known),
        "Licences": _licences(subject),
        "Environment": _environment(known, seconds),
    }
    text = "\n".join(f"\n## {title}\n\n" + "\n".join(lines) for title, lines in sections.items())
    write_text(folder / CARD, f"# Model card: {_cell(subject.model.name)}\n\n{_MARK}\n{text}\n")
    return folder / CARD


def _known(run_dir: Path | None) -> dict[str, Any]:
    """What the files of a run say; nothing of one that is missing or damaged."""
    found: dict[str, Any] = {}
    for name in ("metrics", "recipe", "environment", "data"):
        try:
            found[name] = read_json(Path(str(run_dir)) / f"{name}.json")
        except (OSError, ValueError):
            found[name] = {}
    try:
        text = read_text(Path(str(run_dir)) / "data.csv", _LARGEST_TABLE)
        found["records"] = list(csv.DictReader(io.StringIO(text, newline="")))
    except (OSError, ValueError, csv.Error):
        found["records"] = []
    return found


def _task(subject: Subject) -> Iterator[str]:
    contract = subject.contract
    labels = ", ".join(_cell(name) for name in contract["output"]["labels"])
    yield f"- Task: {contract['task']}; {subject.task.outputs_of}: {labels}"
    yield f"- Backbone: {contract['backbone'] or 'not known'}; {subject.model.count_params():,} parameters"
    yield f"- Built with kertl {contract['kertl']}, Keras {contract['keras']}"


def _input(subject: Subject) -> Iterator[str]:
    given, gives = subject.contract["input"], subject.contract["output"]
    _, height, width, channels = given["shape"]
    resize = given["resize"] or "not known how they were resized in training"
    yield f"- In: `{given['name']}`, any number of pictures of {height} by {width} pixels, {channels} channels"
    yield f"  ({given['channels']}), values 0 to 255, resized by: {resize}"
    what = "the values" if gives["name"] == "values" else "probabilities"
    yield f"- Out: `{gives['name']}`, {what}, in the order of the {subject.task.outputs_of} above"
    if subject.contract["thresholds"]:
        yield f"- A yes from: {', '.join(f'{value:.3f}' for value in subject.contract['thresholds'])}"


def _data(subject: Subject, known: Mapping[str, Any]) -> Iterator[str]:
    records = known["records"]
    if not records:
        yield "Not known: the model was not exported from a run directory."
        return
    counts = Counter((row["label"], row["split"]) for row in records)
    parts = [part for part in _PARTS if any(split == part for _, split in counts)]
    labels = sorted({label for label, _ in counts})
    yield f"{len(records):,} images; files, labels, parts and checksums are in the run's data.csv."
    if subject.task.one_class:
        yield ""
        yield f"| class | {' | '.join(parts)} |"
        yield "|---|" + "---:|" * len(parts)
        for label in labels:
            yield f"| {_cell(label)} | {' | '.join(str(counts[label, part]) for part in parts)} |"
    else:
        yield ", ".join(f"{part}: {sum(row['split'] == part for row in records)}" for part in parts)


def _metrics(known: Mapping[str, Any], exports: Sequence[Export]) -> Iterator[str]:
    for part in ("validation", "test"):
        found = known["metrics"].get(part)
        if not isinstance(found, dict):
            continue
        shown = [f"{name} {value:.4f}" for name, value in found.items() if isinstance(value, float)]
        count, accuracy = found.get("images"), found.get("accuracy")
        if count and accuracy is not None and "majority" in found:
            right = round(accuracy * count)
            low, high = mean_interval(np.repeat([1, 0], [right, count - right]))
            shown[0] += f" (95 % between {low:.4f} and {high:.4f})"
        yield f"- {part}, {count} images: {', '.join(shown)}"
    for one in exports[:1]:
        if one.model_score is not None:
            yield f"- on export, {one.where}: {one.metric} {one.model_score:.4f}"
        elif not known["metrics"]:
            yield "Not known: no labelled images were given."


def _others(folder: Path, subject: Subject, exports: Sequence[Export]) -> list[Export]:
    """The other exports in the folder of a run that are as they were when they were held against its model."""
    if not is_home(folder, subject.run_dir):
        return []
    run_dir, new, found = Path(str(subject.run_dir)), {one.path.name for one in exports}, []
    for one in noted_exports(run_dir):
        if one.path not in new and not why_stale(run_dir, one):
            with contextlib.suppress(ValueError, TypeError):  # whatever a stranger, or another version, wrote
                found.append(Export.from_dict({**one.told, "path": str(folder / one.path)}))
    return found


def _exports(folder: Path, exports: Sequence[Export]) -> Iterator[str]:
    yield "| file | format | size | compared on | largest difference | same decision | score | 95 % |"
    yield "|---|---|---:|---|---:|---:|---:|---|"
    for one in exports:
        name = one.path.name if one.path.parent == folder else str(one.path)
        kind = one.format if one.quantize is None else f"{one.format}, {one.quantize}"
        same = "" if one.same is None else f"{one.same:.2%}"
        score = "" if one.score is None else f"{one.metric} {one.score:.4f}"
        ends = "" if one.interval is None else f"{one.interval[0]:.4f} to {one.interval[1]:.4f}"
        size = megabytes(one.size_bytes)
        yield f"| {_cell(name)} | {kind} | {size} | {one.where} | {one.difference:.2g} | {same} | {score} | {ends} |"


def _recipe(known: Mapping[str, Any]) -> Iterator[str]:
    stages = known["recipe"].get("stages")
    if not isinstance(stages, list):
        yield "Not known." if not known["recipe"] else f"{known['recipe']}"
        return
    for number, stage in enumerate(stages, start=1):
        fields = _OF_A_SOLVED_STAGE if stage.get("solver") == "exact" else _OF_A_STAGE
        shown = (f"{name}={stage[name]!r}" for name in fields if stage.get(name) is not None)
        yield f"{number}. {', '.join(shown)}"
    yield ""
    yield f"Seed {known['recipe'].get('seed')}, precision {known['recipe'].get('precision')}; whole in recipe.json."


def _limits(subject: Subject, known: Mapping[str, Any]) -> Iterator[str]:
    yield "- The metrics are of images of the same origin as those of training; other cameras, places or times were not"
    yield "  tested."
    if subject.task.one_class:
        yield "- Every image is given one of the classes, also one that shows none of them."
    classes = known["metrics"].get("test", {}).get("classes", {})
    recalls = sorted((row["recall"], name) for name, row in classes.items() if row.get("images"))
    if subject.task.one_class and recalls:
        worst = ", ".join(f"{_cell(name)} {recall:.3f}" for recall, name in recalls[:_WORST])
        yield f"- Lowest recall in the test: {worst}."
    missing = known["metrics"].get("test", {}).get("missing_classes")
    if missing:
        yield f"- Without an image in the test: {', '.join(map(_cell, missing))}."
    yield f"- Formats were compared on: {subject.where}."


def _licences(subject: Subject) -> Iterator[str]:
    backbone = subject.contract["backbone"]
    if backbone in APPLICATIONS:
        yield f"- Weights: {backbone} of keras.applications; if they began as ImageNet's, under the licence with which"
        yield "  Keras publishes them."
    else:
        yield "- Weights: not recorded; ask where the backbone is from."
    yield "- Data: not recorded; ask whoever has them."


def _environment(known: Mapping[str, Any], seconds: float) -> Iterator[str]:
    told, here = known["environment"], hardware.describe()
    if told:
        packages = told.get("packages", {})
        versions = ", ".join(f"{name} {packages[name]}" for name in ("keras", "tensorflow", "jax") if name in packages)
        yield f"- Trained on: {told.get('processor')}, {told.get('cpus')} cores, {told.get('memory_gib')} GiB, devices"
        yield f"  {told.get('devices')}; Python {told.get('python')}, {versions}"
    packages = here["packages"]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if name in _TOLD_OF_EXPORTS)
    yield f"- Exported and checked in {seconds:.0f} s on {here['cpus']} cores of {here['processor']}: {versions}"
    yield f"- Written by kertl {kertl.__version__}"


_TOLD_OF_EXPORTS = ("keras", "tensorflow", "ai-edge-litert", "onnx", "onnxruntime", "tf2onnx", "openvino")


def _cell(text: str) -> str:
    """A name that somebody chose, in a table of Markdown."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;")

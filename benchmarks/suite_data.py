"""The data sets of the suite: photos, drawings, letters, small pictures and tiny ones, all from packages.

Packages are fetched by apt-get, checked against their SHA-256, opened as archives and never installed. From each a
folder of PNG files and a table with the columns file, label and group are made once and kept in the cache of
`kertl demo`. Drawings that are used in two kinds, and files with the same content, are left as they are: kertl keeps
them on one side of the split and lists them in `issues`.

    python benchmarks/suite_data.py [FOLDER]

prepares all of them, in FOLDER instead of the cache, and prints a line about each.
"""

import csv
import dataclasses
import gzip
import os
import subprocess
import sys
import tempfile
import time
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits

import kertl
import kertl.demo
from kertl._places import cache_folder
from kertl.run_files import sha256_of

VALIDATION, TEST = 0.15, 0.25

# An image: its class, its group or "", its name within the class, and the pixels.
Found = Iterator[tuple[str, str, str, Image.Image]]

_KINDS = ("animals", "buildings", "food", "people", "plants", "tools", "transportation")
_LONGER_SIDE = 320

# The Unicode block of each script that has a Noto Sans and a Noto Serif, both regular and bold.
_BLOCKS = {
    "Armenian": (0x530, 0x58F),
    "Bengali": (0x980, 0x9FF),
    "Devanagari": (0x900, 0x97F),
    "Ethiopic": (0x1200, 0x137F),
    "Georgian": (0x10A0, 0x10FF),
    "Gujarati": (0xA80, 0xAFF),
    "Gurmukhi": (0xA00, 0xA7F),
    "Hebrew": (0x590, 0x5FF),
    "Kannada": (0xC80, 0xCFF),
    "Khmer": (0x1780, 0x17FF),
    "Lao": (0xE80, 0xEFF),
    "Malayalam": (0xD00, 0xD7F),
    "Myanmar": (0x1000, 0x109F),
    "Sinhala": (0xD80, 0xDFF),
    "Tamil": (0xB80, 0xBFF),
    "Telugu": (0xC00, 0xC7F),
    "Thai": (0xE00, 0xE7F),
}
_FACES = ("Sans-Regular", "Sans-Bold", "Serif-Regular", "Serif-Bold")
_LETTERS = 60  # of a script at most: Ethiopic alone has 326
_SIDE, _FONT_SIZE, _WIDEST = 96, 72, 88

_CLOTHES = ("T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_POOL = 4000


@dataclasses.dataclass(frozen=True)
class DataSet:
    """Where a data set comes from, how its images are made, and how many there are."""

    images: int
    make: Callable[[Path], Found]
    package: str = ""
    sha256: str = ""


def load(name, per_class=None, seed=0, size=160, folder=None):
    """A data set, split: a quarter for the test, 15 % for validation.

    The split depends on the seed and is that of all images, whatever `per_class`.

    Args:
        name: One of `NAMES`.
        per_class: Images of each class for training and validation together, see `few`; None for all.
        seed: Seed of the split and of the choice.
        size: Height and width of the images in pixels.
        folder: Where the images are prepared; by default the cache.

    Returns:
        `kertl.data.ImageData`, cached in memory.
    """
    if name == "cells":
        data = cells.data(seed, size, cache="memory")
    else:
        root = prepare(name, folder)
        data = kertl.data.from_csv(
            root / "table.csv",
            root=root,
            group_column="group",
            image_size=(size, size),
            validation=VALIDATION,
            test=TEST,
            seed=seed,
            cache="memory",
        )
    return data if per_class is None else few(data, per_class, seed)


def few(data, per_class, seed=0):
    """The same data with fewer images: a fifth of `per_class` for validation, the others for training.

    Each part keeps only images that it had before; a class that has fewer keeps all. The test set is unchanged.
    """
    for_validation = max(1, round(per_class / 5))
    random = np.random.default_rng(seed)
    parts, kept = {}, {row for row, record in enumerate(data.records) if record.split == "test"}
    for part, count in (("train", per_class - for_validation), ("validation", for_validation)):
        whole = getattr(data, part)
        chosen = _drawn(whole.labels, count, random)
        parts[part] = whole.subset(chosen)
        kept.update(np.flatnonzero([record.split == part for record in data.records])[chosen].tolist())
    return dataclasses.replace(
        data,
        **parts,
        records=tuple(data.records[row] for row in sorted(kept)),
        together=tuple(data.together[row] for row in sorted(kept)),
    )


def prepare(name, folder=None):
    """The folder with the images of a data set and its table.csv, made once."""
    if name == "cells":
        return kertl.demo.fetch_photos()
    wanted = _SETS[name]
    parent = Path(folder) if folder else cache_folder() / "suite"
    target = parent / name.replace(" ", "_")
    if not target.is_dir():
        parent.mkdir(parents=True, exist_ok=True)
        # Made next to it and renamed, so that an interrupted run leaves nothing half-finished.
        with tempfile.TemporaryDirectory(dir=parent) as beside:
            unpacked, made = Path(beside) / "package", Path(beside) / "made"
            if wanted.package:
                subprocess.run(["dpkg-deb", "-x", _fetched(wanted), unpacked], check=True)
            count = _write(wanted.make(unpacked), made)
            if count != wanted.images:
                raise RuntimeError(f"{name!r} must have {wanted.images} images. Received: {count}.")
            made.rename(target)
    return target


def _write(found: Found, folder):
    """Write the images and their table; give their number."""
    rows = []
    for label, group, name, image in found:
        path = folder / label / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
        rows.append((path.relative_to(folder).as_posix(), label, group))
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "group"])
        writer.writerows(rows)
    return len(rows)


def _fetched(wanted):
    """The package's file, fetched by apt-get if it is not in the cache."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    path = _found(wanted, cache)
    if path is None:
        command = ["apt-get", "download", wanted.package]
        done = subprocess.run(command, cwd=cache, capture_output=True, text=True, check=False)
        path = _found(wanted, cache)
        if path is None:
            reason = done.stderr.strip() if done.returncode else "it has another version"
            raise RuntimeError(
                f"apt-get cannot fetch the file of {wanted.package} that has the SHA-256 {wanted.sha256}: {reason}. "
                f"Put that file into {str(cache)!r}."
            )
    return path


def _found(wanted, cache):
    paths = cache.glob(f"{wanted.package}_*.deb")
    return next((path for path in paths if sha256_of(path) == wanted.sha256), None)


def _drawn(labels, count, random):
    """`count` rows of each class, or all that it has, in data order."""
    of_each = (random.permutation(np.flatnonzero(labels == label))[:count] for label in np.unique(labels))
    return np.sort(np.concatenate(list(of_each)))


def _clip_art(package) -> Found:
    """Drawings laid on white; without road signs and those so large that kertl would not read them."""
    root = package / "usr/share/openclipart/png"
    for kind in _KINDS:
        for path in sorted((root / kind).rglob("*.png")):
            inside = path.relative_to(root / kind)
            if "roadsigns" not in inside.parts and (drawing := _on_white(path)) is not None:
                yield kind, "", inside.with_suffix("").as_posix(), drawing


def _on_white(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        return None
    with image:
        drawing = image.convert("RGBA")
    drawing.thumbnail((_LONGER_SIDE, _LONGER_SIDE))
    return Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB")


def _scripts(package) -> Found:
    """The first 60 letters of each script in four faces; the group is the letter."""
    for script, (first, last) in _BLOCKS.items():
        fonts = {face: _font(package, script, face) for face in _FACES}
        letters = [
            chr(code) for code in range(first, last + 1) if unicodedata.category(chr(code)) in ("Lo", "Lu", "Ll")
        ]
        known = [letter for letter in letters if all(_has(font, letter) for font in fonts.values())]
        for letter in known[:_LETTERS]:
            for face, font in fonts.items():
                image = _drawn_letter(letter, font)
                yield script, f"U+{ord(letter):04X}", f"U+{ord(letter):04X}_{face}", image


def _drawn_letter(letter, font):
    """Black on white in the middle; a wide or high one smaller, so that it fits."""
    left, top, right, bottom = font.getbbox(letter)
    if (longer := max(right - left, bottom - top)) > _WIDEST:
        font = font.font_variant(size=int(_FONT_SIZE * _WIDEST / longer))
        left, top, right, bottom = font.getbbox(letter)
    image = Image.new("L", (_SIDE, _SIDE), "white")
    place = ((_SIDE - left - right) / 2, (_SIDE - top - bottom) / 2)
    ImageDraw.Draw(image).text(place, letter, fill="black", font=font)
    return image


def _font(package, script, face):
    family, weight = face.split("-")
    path = package / f"usr/share/fonts/truetype/noto/Noto{family}{script}-{weight}.ttf"
    return ImageFont.truetype(path, _FONT_SIZE, layout_engine=ImageFont.Layout.BASIC)


def _has(font, letter):
    """Whether a font draws a letter in another way than what it lacks."""
    return bytes(font.getmask(letter)) != bytes(font.getmask("\U0010fffd"))


def _fashion(package) -> Found:
    """4,000 of the 60,000 training pictures, always the same."""
    folder = package / "usr/share/datasets/fashion-mnist"
    pictures = np.frombuffer(gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    for row in np.sort(np.random.default_rng(0).choice(len(labels), _POOL, replace=False)):
        picture = pictures.reshape(-1, 28, 28)[row]
        yield _CLOTHES[labels[row]], "", f"{row:05}", Image.fromarray(picture)


def _digits(_) -> Found:
    """Sums of 4 by 4 black pixels, 0 to 16, as grey levels."""
    digits = load_digits()
    for row, (picture, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        yield str(label), "", f"{row:04}", Image.fromarray(np.round(picture * 255 / 16).astype(np.uint8))


_SETS = {
    "clip art": DataSet(
        1682, _clip_art, "openclipart-png", "f07f1545a2970c2cf3fa339bc2405da1a95cf2b1827bfa05bf73eb1c20291c02"
    ),
    "scripts": DataSet(
        3628, _scripts, "fonts-noto-core", "58f4f0bb6720f919f92096b3508e1412a0f1544424ade6c5b5bf1eb694dd64ba"
    ),
    "fashion": DataSet(
        4000, _fashion, "dataset-fashion-mnist", "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0"
    ),
    "digits": DataSet(1797, _digits),
}

NAMES = ("cells", *_SETS)


def _summary(name, folder):
    start = time.perf_counter()
    prepare(name, folder)
    prepared = time.perf_counter()
    data = load(name, folder=folder)
    took = f"prepared in {prepared - start:.0f} s, loaded in {time.perf_counter() - prepared:.0f} s"
    sizes = " + ".join(str(part.num_examples) for part in (data.train, data.validation, data.test))
    majority = max(np.bincount(data.test.labels)) / data.test.num_examples
    same = [issue for issue in data.issues if "same content" in str(issue)]
    twofold = [issue for issue in same if "of another class" in str(issue)]
    return (
        f"{name}: {len(data.records)} images ({sizes}), {data.num_classes} classes, majority {majority:.2f}, "
        f"{len(data.issues)} issues, {len(same)} of them the same content, {len(twofold)} in two classes; {took}"
    )


if __name__ == "__main__":
    for each in NAMES:
        print(_summary(each, sys.argv[1] if len(sys.argv) > 1 else None), flush=True)

"""Which families of backbones export in which format, and how far is each export from the model in its own runtime?

A small member of each family (tests/families.py and tests/backbones/kinds.py: random weights, small pictures) gets a
head for three classes, and its BatchNorm layers the statistics of the pictures: with those of new layers every picture
gives the same, and every comparison passes. `kertl.export` writes it in each format, loads the file in its own runtime
and compares; the row has the largest difference of a probability, and beside it by how much the model itself tells the
pictures apart, so that a difference that means something can be told from one that does not. A refusal is a row too,
with its message.

Each family runs in a process of its own, and what results/export_families.csv has already is not run again. `--table`
prints the table of docs/deploy/families.md from it.

    python benchmarks/export_families.py [--families VGG16 "hub ViT"] [--formats onnx] [--table]

TensorFlow.js runs where it is named (`--formats tfjs`), since it needs a converter of its own and Node: docs/export.md.
"""

import argparse
import contextlib
import csv
import io
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import record

REPOSITORY = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "export_families.csv"
FORMATS = {"keras": "m.keras", "saved_model": "m", "litert": "m.tflite", "onnx": "m.onnx", "openvino": "m"}
BY_NAME = {"tfjs": "m"}  # needs programs of its own, so that it runs where it is named
EVERY = {**FORMATS, **BY_NAME}
IMAGES = 16


def kinds():
    """The kinds by name, the small ones first: those whose names are of two words are cut down."""
    from tests.backbones.kinds import PROMISED, QUICK, SLOW

    found = {**QUICK, **PROMISED, **SLOW}
    return dict(sorted(found.items(), key=lambda item: " " not in item[0] and item[0] != "trained"))


def pictures(side):
    """Smooth pictures with their labels, as data."""
    from PIL import Image

    import kertl

    found = []
    for number in range(2 * IMAGES):
        small = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype="uint8")
        found.append(np.asarray(Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)))
    x, y = np.stack(found), np.arange(2 * IMAGES) % 3
    return kertl.data.from_dataset((x[:IMAGES], y[:IMAGES]), test=(x[IMAGES:], y[IMAGES:]), class_names=["a", "b", "c"])


def model_of(kind, data):
    """The member with a head, its BatchNorm adapted to the pictures."""
    import keras

    import kertl
    from tests.families import lively

    backbone = kind.load()
    keras.utils.set_random_seed(0)
    head = kertl.Head(pooling=kind.pooling, dropout=None, initializer="glorot_uniform")
    model = kertl.build(backbone, class_names=data.class_names, head=head)
    images = data.train.in_order().reader.take(np.arange(IMAGES)).astype("float32")
    with contextlib.suppress(AssertionError):  # that the first two differ; the column `spread` says how much all do
        lively(model, images)
    return model


def run_family(name, formats):
    """Export one family in some formats, and keep a row of each."""
    import kertl

    logging.disable(logging.WARNING)
    kind = kinds()[name]
    data = pictures(kind.side)
    model = model_of(kind, data)
    said = kertl.predict(model, data.test)
    spread = float(np.ptp(said, axis=0).max())
    for chosen in formats:
        row = {"family": name, "side": kind.side, "format": chosen, "spread": f"{spread:.3g}"}
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    found = kertl.export(model, Path(folder) / EVERY[chosen], format=chosen, data=data)
                told = {"difference": f"{found.difference:.2g}", "megabytes": round(found.size_bytes / 1e6, 2)}
                row |= {**told, "same": found.same, "error": ""}
            except Exception as error:  # what is refused is what is asked for
                row |= {"difference": "", "megabytes": "", "same": "", "error": " ".join(str(error).split())[:600]}
        row["seconds"] = round(time.monotonic() - begun, 1)
        record.keep("export_families", [row])
        print(row, flush=True)


def done():
    """Family and format of the rows that are there."""
    if not RESULTS.exists():
        return {}
    with RESULTS.open(newline="") as file:
        return {(row["family"], row["format"]): row for row in csv.DictReader(file)}


def table():
    """The rows as a table of families and formats in Markdown."""
    rows = done()
    lines = ["| family | " + " | ".join(f"`{name}`" for name in EVERY) + " | tells pictures apart by |"]
    lines.append("|---|" + "---:|" * (len(EVERY) + 1))
    for family in dict.fromkeys(name for name, _ in rows):
        cells = [rows.get((family, one)) for one in EVERY]
        told = ["not run" if one is None else one["difference"] or "refused" for one in cells]
        lines.append(f"| {family} | {' | '.join(told)} | {next(one['spread'] for one in cells if one)} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=EVERY)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(REPOSITORY))  # for the members of the tests
    if options.table:
        print(table())
        return
    if options.here:
        run_family(options.here, options.formats)
        return
    for name in options.families or kinds():
        left = [one for one in options.formats if (name, one) not in done()]
        if left:
            subprocess.run([sys.executable, __file__, "--here", name, "--formats", *left], check=False, timeout=1800)


if __name__ == "__main__":
    main()

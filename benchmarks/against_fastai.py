"""kertl's default against fastai's default `fine_tune`, on the same weights, the same splits, the same image size.

On the photos and the MobileNetV2 of `kertl demo` at 160 px. This side makes the split and the weights for both, trains
kertl's recipes and prints the table; against_fastai_torch.py trains fastai, in a separate environment. Seconds are from
the files to the accuracy on the test set, without imports. against_fastai.md says how to run both, and reports the
results.

    python benchmarks/against_fastai.py prepare FOLDER [--seeds 0 1 2]
    python benchmarks/against_fastai.py kertl FOLDER [--seeds 0 1 2] [--recipes mid auto]
    python benchmarks/against_fastai.py table FOLDER [--untimed]
"""

import argparse
import csv
import importlib.metadata
import json
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import keras
import numpy as np
import record

import kertl
import kertl.demo

PACKAGES = ("keras", "tensorflow", "openvino")


def prepare(folder, seeds):
    """The split as tables of absolute paths, and the weights with their features of eight photos."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = kertl.demo.fetch_photos().resolve()
    for seed in seeds:
        data = cells.data(seed)
        with (folder / f"seed{seed}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "label", "split"])
            writer.writerows((photos / one.file, one.label, one.split) for one in data.records)
    backbone = keras.saving.load_model(kertl.demo.fetch_weights(), compile=False).layers[1]
    weights = {
        f"{layer.name}/{weight.name}": np.asarray(weight) for layer in backbone.layers for weight in layer.weights
    }
    images = data.train.reader.take(np.arange(8))
    features = backbone.predict(images.astype("float32") / 127.5 - 1, verbose=0)
    files = [str(photos / file) for file in data.train.files[:8]]
    np.savez(folder / "mobilenet_v2.npz", photos=images, photo_files=files, features=features, **weights)
    print(f"{len(seeds)} tables, {len(weights)} weights, features of shape {features.shape}")


def train(folder, seeds, recipes):
    """One row for each training, saved at once."""
    for seed in seeds:
        for recipe in recipes:
            keras.backend.clear_session()
            start = time.perf_counter()
            data = cells.data(seed)
            run = kertl.fine_tune(cells.model(data.class_names, seed), data, recipe=recipe, verbose=0)
            accuracy = run.metrics["test"]["accuracy"]
            seconds = time.perf_counter() - start
            row = {
                "what": f'kertl, recipe="{recipe}"',
                "seed": seed,
                "epochs": "+".join(str(stage.epochs) for stage in run.recipe.stages),
                "accuracy": accuracy,
                "seconds": seconds,
                "versions": " ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
            }
            print(row, flush=True)
            path = folder / "kertl.json"
            path.write_text(json.dumps([*rows_of(path), row], indent=2))


def rows_of(path):
    return json.loads(path.read_text()) if path.exists() else []


def table(folder, untimed):
    """Print a line for each way of training, in the order of their first run, and save it."""
    trained = {}
    for row in rows_of(folder / "kertl.json") + rows_of(folder / "fastai.json"):
        # the last training of a seed counts
        trained.setdefault((row["what"], row["epochs"]), {})[row["seed"]] = row
    seeds = sorted({seed for rows in trained.values() for seed in rows})
    print(f"| | epochs | {' | '.join(f'seed {seed}' for seed in seeds)} | mean | median seconds |")
    print("|---|---|" + "---|" * (len(seeds) + 2))
    kept = []
    for (what, epochs), rows in trained.items():
        found = {seed: f"{rows[seed]['accuracy']:.4f}" if seed in rows else "" for seed in seeds}
        mean = statistics.mean(row["accuracy"] for row in rows.values())
        seconds = "" if untimed else f"{statistics.median(row['seconds'] for row in rows.values()):.0f}"
        print(f"| {what} | {epochs} | {' | '.join(found.values())} | {mean:.4f} | {seconds} |")
        kept.append(
            {
                "what": what,
                "epochs": epochs,
                "seeds": " ".join(str(seed) for seed in sorted(rows)),
                "test": " ".join(found[seed] for seed in sorted(rows)),
                "mean": round(mean, 4),
                "seconds": seconds,
                "versions": next(iter(rows.values()))["versions"],
            }
        )
    record.keep("against_fastai", kept, PACKAGES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("prepare", "kertl", "table"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path)
        if name == "table":
            command.add_argument("--untimed", action="store_true", help="leave out seconds that other work made longer")
        else:
            command.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
        if name == "kertl":
            command.add_argument("--recipes", nargs="+", default=["mid", "auto"])
    arguments = vars(parser.parse_args())
    {"prepare": prepare, "kertl": train, "table": table}[arguments.pop("command")](**arguments)


if __name__ == "__main__":
    main()

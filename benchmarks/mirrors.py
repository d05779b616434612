"""What does a solved head gain where it looks at mirror images too?

The head of all depths, solved on the features of each image, on their mean over the image and its mirror image, and on
the mean over these two and both upside down: what `Stage("deep", solver="exact", mirror=...)` does. The strength of the
penalty is chosen on the validation set, and the head then solved once more on training and validation images. Features
are extracted once for all splits of a data set. The test set is read by this script alone, and nothing is chosen by it.

    python benchmarks/mirrors.py run FOLDER [--data cells ...] [--sizes 50 all] [--splits 0 1 2]
    python benchmarks/mirrors.py table FOLDER

The answer is in docs/design/techniques.md, the rows in `benchmarks/results/mirrors.csv`.
"""

import argparse
import csv
import os
import statistics
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import suite
import suite_backbones
import suite_data

import kertl
from kertl.model import mirrored
from kertl.probes import solve

COLUMNS = ("data", "size", "split", "mirror", "strength", "validation_loss", "validation", "test", "cpu_seconds")
ARMS = ("none", "horizontal", "both")


def measure(name, size, split, folder):
    """A row for each way to look at an image."""
    data = suite_data.load(name, suite.SIZES[size], split, suite.SIZE)
    backbone = suite_backbones.backbone("MobileNetV2", suite.SIZE)
    model = kertl.build(backbone, class_names=data.class_names, head=suite.ALL_DEPTHS)
    parts = {part: getattr(data, part).in_order() for part in ("train", "validation", "test")}
    labels = {part: np.asarray(images.labels).ravel().astype(int) for part, images in parts.items()}
    link = "sigmoid" if data.task == "binary" else "softmax"
    wanted = {part: targets(one, link, data.num_classes) for part, one in labels.items()}
    for arm in ARMS:
        before = suite.cpu_seconds()
        looks = model if arm == "none" else mirrored(model, arm)
        cached = {part: kertl.extract(looks, images, cache_dir=folder / "features") for part, images in parts.items()}
        rows = {part: np.asarray(features.values) for part, features in cached.items()}
        found = solve(rows["train"], wanted["train"], link=link, held_out=(rows["validation"], wanted["validation"]))
        both = [np.concatenate([given["train"], given["validation"]]) for given in (rows, wanted)]
        last = solve(*both, link=link, strengths=[found.strength])
        scores = found.scores(rows["validation"])
        yield {
            "data": name,
            "size": size,
            "split": split,
            "mirror": arm,
            "strength": found.strength,
            "validation_loss": f"{found.losses[found.strength]:.4f}",
            "validation": accuracy(scores, labels["validation"]),
            "test": accuracy(last.scores(rows["test"]), labels["test"]),
            "cpu_seconds": f"{suite.cpu_seconds() - before:.0f}",
        }


def targets(labels, link, classes):
    """What the head should give, shape `(images, outputs)`."""
    return labels[:, None].astype(float) if link == "sigmoid" else np.eye(classes)[labels]


def accuracy(scores, labels):
    """The share of right answers."""
    said = scores.argmax(axis=1) if scores.shape[1] > 1 else scores[:, 0] > 0
    return f"{np.mean(said == labels):.4f}"


def run(arguments):
    """Measure what is not there yet."""
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "mirrors.csv"
    done = {(row["data"], row["size"], row["split"]) for row in suite.read(folder, "mirrors.csv")}
    for size in arguments.sizes:
        for split in arguments.splits:
            for name in arguments.data:
                if (name, size, str(split)) in done:
                    continue
                rows = list(measure(name, size, split, folder))
                new = not file.exists()
                with file.open("a", newline="") as opened:
                    writer = csv.DictWriter(opened, COLUMNS, lineterminator="\n")
                    if new:
                        writer.writeheader()
                    writer.writerows(rows)
                for row in rows:
                    print(", ".join(str(row[column]) for column in COLUMNS), flush=True)


def table(arguments):
    """Print what each way gives, and its difference to the image alone on the same splits."""
    cells = defaultdict(lambda: defaultdict(dict))
    for row in suite.read(arguments.folder, "mirrors.csv"):
        cells[row["data"], row["size"]][row["split"]][row["mirror"]] = row
    print("| data | images a class | mirror | validation loss | validation | test | on the same splits | splits |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, size), splits in cells.items():
        # As a run chooses: the way with the lowest validation loss, of the first two or of all.
        for one in splits.values():
            for told, among in (("the better of the first two", ARMS[:2]), ("the best of the three", ARMS)):
                one[told] = min((one[arm] for arm in among), key=lambda row: float(row["validation_loss"]))
        for arm in next(iter(splits.values())):
            means = [
                statistics.mean(float(one[arm][column]) for one in splits.values())
                for column in ("validation_loss", "validation", "test")
            ]
            gains = [float(one[arm]["test"]) - float(one["none"]["test"]) for one in splits.values()]
            gain = f"{statistics.mean(gains):+.4f} ({min(gains):+.4f} to {max(gains):+.4f})" if arm != "none" else ""
            told = " | ".join(f"{mean:.4f}" for mean in means)
            print(f"| {name} | {size} | {arm} | {told} | {gain} | {len(splits)} |")


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run")
    command.set_defaults(do=run)
    command.add_argument("folder")
    command.add_argument("--data", nargs="+", default=list(suite_data.NAMES), choices=suite_data.NAMES)
    command.add_argument("--sizes", nargs="+", default=["50", "all"], choices=suite.SIZES)
    command.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2])
    command = commands.add_parser("table")
    command.set_defaults(do=table)
    command.add_argument("folder")
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()

"""What does a solved head gain where it looks at mirror images too?

The head of all depths, solved on the features of each image, on their mean over the image and its mirror image, and on
the mean over these two and both upside down: what `Stage("deep", solver="exact", mirror=...)` does, from features that
are extracted once for all splits of a data set. The strength of the penalty is chosen on the validation set, and the
head then solved once more on training and validation images. The test set is read by this script alone, and nothing is
chosen by it.

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
from kertl.probes import solve

COLUMNS = ("data", "size", "split", "mirror", "strength", "validation_loss", "validation", "test", "cpu_seconds")
# The axes along which images are turned over; the features of all of them are averaged.
ARMS = {"none": [()], "horizontal": [(), (2,)], "both": [(), (2,), (1,), (1, 2)]}


def features(name, flip, folder):
    """The features of all images of a data set, turned over along some axes, by file; extracted once."""
    file = folder / f"{name.replace(' ', '_')}_{''.join(map(str, flip)) or 'plain'}.npz"
    if not file.exists():
        data = suite_data.load(name, size=suite.SIZE)
        backbone = suite_backbones.backbone("MobileNetV2", suite.SIZE)
        model = kertl.build(backbone, class_names=data.class_names, head=suite.ALL_DEPTHS)
        files, values = [], []
        for part in ("train", "validation", "test"):
            images = getattr(data, part).in_order()
            pictures = np.concatenate([images.batch(0, number)[0] for number in range(len(images))])
            values.append(np.asarray(kertl.extract(model, np.flip(pictures, flip)).values))
            files += [str(record.file) for record in data.records if record.split == part]
        np.savez(file, files=files, values=np.concatenate(values))
    with np.load(file) as cached:
        return dict(zip(cached["files"].tolist(), cached["values"], strict=True))


def measure(name, size, split, folder, arms):
    """A row for each way to look at an image."""
    data = suite_data.load(name, suite.SIZES[size], split, size=32)  # of which only files and labels are used
    parts = ("train", "validation", "test")
    files = {part: [str(record.file) for record in data.records if record.split == part] for part in parts}
    labels = {part: np.asarray(getattr(data, part).labels).ravel().astype(int) for part in parts}
    link = "sigmoid" if data.task == "binary" else "softmax"
    wanted = {part: targets(one, link, data.num_classes) for part, one in labels.items()}
    for arm in arms:
        before = suite.cpu_seconds()
        rows = dict.fromkeys(parts, 0)
        for flip in ARMS[arm]:
            found = features(name, flip, folder)
            for part in parts:
                rows[part] = rows[part] + np.stack([found[file] for file in files[part]]) / len(ARMS[arm])
        found = solve(rows["train"], wanted["train"], link=link, held_out=(rows["validation"], wanted["validation"]))
        both = [np.concatenate([given["train"], given["validation"]]) for given in (rows, wanted)]
        last = solve(*both, link=link, strengths=[found.strength])
        yield {
            "data": name,
            "size": size,
            "split": split,
            "mirror": arm,
            "strength": found.strength,
            "validation_loss": f"{found.losses[found.strength]:.4f}",
            "validation": accuracy(found.scores(rows["validation"]), labels["validation"]),
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
                if (name, size, str(split)) not in done:
                    record(file, measure(name, size, split, folder, arguments.mirrors))


def record(file, rows):
    """Append rows to the table, and print them, when all are there."""
    rows = list(rows)
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
        for one in splits.values():  # as a run chooses
            one["what the validation loss chooses"] = min(one.values(), key=lambda row: float(row["validation_loss"]))
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
    command.add_argument("--mirrors", nargs="+", default=list(ARMS), choices=ARMS)
    command = commands.add_parser("table")
    command.set_defaults(do=table)
    command.add_argument("folder")
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()

"""What does the mean of a run's stages give over each stage alone, and over the image alone without its mirror image?

One training of the preset "best" on each split; the model that it gives is then taken apart, and each of its stages is
asked for the test set, with and without mirror images. The head by itself is what "quick" gives. The test set is read
by this script alone, nothing is chosen by it, and each row is recorded as it ends.

    python benchmarks/average.py run FOLDER [--data cells ...] [--sizes 50 all] [--splits 0 1 2]
    python benchmarks/average.py table FOLDER

The answer is in docs/design/techniques.md, the rows in `benchmarks/results/average.csv`.
"""

import argparse
import csv
import os
import statistics
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import suite
import suite_backbones
import suite_data

import kertl

COLUMNS = ("data", "size", "split", "arm", "share", "validation_loss", "test", "cpu_seconds")


def measure(name, size, split):
    """Train once; a row for each stage by itself, for their mean, and for these with mirror images."""
    data = suite_data.load(name, suite.SIZES[size], split, suite.SIZE)
    backbone = suite_backbones.backbone("MobileNetV2", suite.SIZE)
    keras.utils.set_random_seed(split)
    model = kertl.build(backbone, class_names=data.class_names, head=suite.ALL_DEPTHS)
    before = suite.cpu_seconds()
    run = kertl.fine_tune(model, data, recipe="best", verbose=0)
    spent = suite.cpu_seconds() - before
    losses = {run.stages[number].at: run.stages[number].value for number in run.average["stages"]}
    shares = dict(zip(losses, run.average["shares"], strict=True))
    plain, mirrored = predictions(run, data.test)
    truth = np.asarray(data.test.labels).ravel()
    told = {"data": name, "size": size, "split": split}
    for at, loss in losses.items():
        for ending, said in (("", plain), (", mirrored", mirrored)):
            score = accuracy(said[at], truth)
            yield {**told, "arm": at + ending, "share": shares[at], "validation_loss": f"{loss:.4f}", "test": score}
    for ending, said in (("", plain), (", mirrored", mirrored)):
        mean = sum(share * said[at] for at, share in shares.items())
        yield {**told, "arm": f"mean{ending}", "test": accuracy(mean, truth)}
    chosen = "mirrored" if run.average["mirrored"] else "as it is"
    score = f"{run.metrics['test']['accuracy']:.4f}"
    yield {**told, "arm": "best", "share": chosen, "test": score, "cpu_seconds": f"{spent:.0f}"}


def predictions(run, part):
    """What each stage of an averaged model says of some images, and the mean of that and of their mirror images."""
    in_order = part.in_order()
    pictures = np.concatenate([in_order.batch(0, number)[0] for number in range(len(in_order))]).astype("float32")
    shared, found = run.model.get_layer("shared"), []
    for seen in (pictures, pictures[:, :, ::-1]):
        features = shared.predict(seen, verbose=0)
        members = [run.model.get_layer(f"member_{place + 1}") for place in range(len(run.average["stages"]))]
        found.append([member.predict(features, verbose=0) for member in members])
    names = [run.stages[number].at for number in run.average["stages"]]
    both = [(one + other) / 2 for one, other in zip(*found, strict=True)]
    return dict(zip(names, found[0], strict=True)), dict(zip(names, both, strict=True))


def accuracy(said, truth):
    """The share of right answers."""
    return f"{np.mean(said.argmax(axis=1) == truth):.4f}"


def run(arguments):
    """Measure the splits that are not there yet."""
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "average.csv"
    done = {(row["data"], row["size"], row["split"]) for row in suite.read(folder, "average.csv")}
    for size in arguments.sizes:
        for split in arguments.splits:
            for name in arguments.data:
                if (name, size, str(split)) in done:
                    continue
                rows = list(measure(name, size, split))
                new = not file.exists()
                with file.open("a", newline="") as opened:
                    writer = csv.DictWriter(opened, COLUMNS, lineterminator="\n")
                    if new:
                        writer.writeheader()
                    writer.writerows(rows)
                for row in rows:
                    print(", ".join(str(row.get(column, "")) for column in COLUMNS), flush=True)
                keras.backend.clear_session()


def table(arguments):
    """Print the test accuracy of each arm, and its difference to the head alone on the same splits."""
    cells = defaultdict(dict)
    for row in suite.read(arguments.folder, "average.csv"):
        cells[row["data"], row["size"]].setdefault(row["arm"], {})[row["split"]] = float(row["test"])
    print("| data | images a class | arm | test accuracy | against the head alone, on the same splits | splits |")
    print("|---|---|---|---|---|---|")
    for (name, size), arms in cells.items():
        for arm, scores in arms.items():
            pairs = [scores[split] - arms["deep"][split] for split in scores if split in arms.get("deep", {})]
            gain = f"{statistics.mean(pairs):+.4f} ({min(pairs):+.4f} to {max(pairs):+.4f})" if pairs else ""
            print(f"| {name} | {size} | {arm} | {statistics.mean(scores.values()):.4f} | {gain} | {len(scores)} |")


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run")
    command.set_defaults(do=run)
    command.add_argument("folder")
    command.add_argument("--data", nargs="+", default=["cells"], choices=suite_data.NAMES)
    command.add_argument("--sizes", nargs="+", default=["all"], choices=suite.SIZES)
    command.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2])
    command = commands.add_parser("table")
    command.set_defaults(do=table)
    command.add_argument("folder")
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()

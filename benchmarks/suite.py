"""Which recipe is best, on which data, and what does it cost?

Data sets (`suite_data.py`) at 10 and 50 images a class and with all, three splits each, and two networks
(`suite_backbones.py`) against the recipes, the classical baselines and the presets. Seconds are those of a whole run
from image files, extraction included, on two cores; where the machine does other work too, compare CPU seconds. The
test set is read once, by the run that is recorded; nothing is chosen by it. Each training is recorded as it ends, and
not repeated later.

    python benchmarks/suite.py run FOLDER [--data cells ...] [--sizes 10 50 all] [--arms auto ...] [--splits 0 1 2]
    python benchmarks/suite.py table FOLDER
    python benchmarks/suite.py plot FOLDER
"""

import argparse
import csv
import os
import resource
import statistics
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import suite_backbones
import suite_data

import kertl

SIZE = 160  # pixels, of images and network
NETWORKS = ("MobileNetV2", "EfficientNet-Lite1")
SIZES = {"10": 10, "50": 50, "all": None}  # images of each class for training and validation together
ALL_DEPTHS = kertl.Head(depths="auto")
# The recipe and the head of each arm; baselines have none.
ARMS = {
    "baselines": None,
    "deep": ("deep", kertl.Head()),
    "mid": ("mid", kertl.Head()),
    "gradual": ("gradual", kertl.Head()),
    "auto, last depth": ("auto", kertl.Head()),
    "quick": ("quick", ALL_DEPTHS),
    "auto": ("auto", ALL_DEPTHS),
    "best": ("best", ALL_DEPTHS),
}
NAMED = ("baselines", "deep", "mid", "gradual")
PRESETS = ("quick", "auto", "best")


def measure(cell):
    """The accuracies and seconds of one cell."""
    count = SIZES[cell["size"]]
    data = suite_data.load(cell["data"], count, int(cell["split"]), SIZE)
    backbone = suite_backbones.backbone(cell["network"], SIZE)
    if not hasattr(backbone, "backbone_name"):
        backbone = kertl.load_backbone(backbone)
    start, cpu = time.perf_counter(), cpu_seconds()
    if cell["arm"] == "baselines":
        found = kertl.baselines(backbone, data)
        scores, ended = (found.best.validation_accuracy, found.test_accuracy), found.best.method
    else:
        recipe, head = ARMS[cell["arm"]]
        keras.utils.set_random_seed(int(cell["split"]))
        model = kertl.build(backbone, class_names=data.class_names, head=head)
        run = kertl.fine_tune(model, data, recipe=recipe, verbose=0)
        scores = tuple(run.metrics[part]["accuracy"] for part in ("validation", "test"))
        ended = f"stage {run.best_stage + 1} of {len(run.stages)}"
        if run.average:
            shares = zip(run.average["stages"], run.average["shares"], strict=True)
            ended = " + ".join(f"{share:.0%} of stage {stage + 1}" for stage, share in shares)
            ended += " mirrored" if run.average["mirrored"] else ""
    return {
        "validation": f"{scores[0]:.4f}",
        "test": f"{scores[1]:.4f}",
        "seconds": f"{time.perf_counter() - start:.1f}",
        "cpu_seconds": f"{cpu_seconds() - cpu:.1f}",
        "ended": ended,
    }


def cpu_seconds():
    """Seconds of computing by this process so far, summed over its cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


KEYS = ("data", "network", "size", "split", "arm")


def read(folder, name="suite.csv"):
    """The rows that were measured."""
    file = Path(folder) / name
    if not file.exists():
        return []
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def run(arguments):
    """Measure the cells that are not there yet."""
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    done = {tuple(row[key] for key in KEYS) for row in read(folder)}
    for size in arguments.sizes:
        for split in arguments.splits:
            for data in arguments.data:
                for network in arguments.networks:
                    for arm in arguments.arms:
                        key = (data, network, size, str(split), arm)
                        if key not in done:
                            record(folder, dict(zip(KEYS, key, strict=True)))


def record(folder, cell):
    """Measure a cell, append it to the table and print it."""
    row = {**cell, **measure(cell)}
    file = folder / "suite.csv"
    new = not file.exists()
    with file.open("a", newline="") as opened:
        writer = csv.DictWriter(opened, row)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(", ".join(row.values()), flush=True)
    keras.backend.clear_session()


def by_cell(rows):
    """Test accuracies and seconds over the splits, by data, network and size and then by arm."""
    found = defaultdict(lambda: defaultdict(list))
    for row in rows:
        found[row["data"], row["network"], row["size"]][row["arm"]].append((float(row["test"]), float(row["seconds"])))
    return found


def table(arguments):
    """Print the mean, range and seconds of each arm by data set, then ranks and what the presets must show."""
    cells = by_cell(read(arguments.folder))
    ranks = defaultdict(list)
    gains = defaultdict(list)
    for (data, network, size), arms in cells.items():
        print(f"\n{data}, {network}, {size} images a class" if size != "all" else f"\n{data}, {network}, all images")
        print("\n| | test accuracy | lowest to highest | splits | seconds |\n|---|---|---|---|---|")
        means = {arm: statistics.mean(score for score, _ in scores) for arm, scores in arms.items()}
        for arm in sorted(arms, key=lambda name: -means[name]):
            scores = [score for score, _ in arms[arm]]
            seconds = statistics.mean(spent for _, spent in arms[arm])
            bounds = f"{min(scores):.3f} to {max(scores):.3f}"
            print(f"| {arm} | {means[arm]:.4f} | {bounds} | {len(scores)} | {seconds:.0f} |")
            ranks[arm].append(sorted(means.values(), reverse=True).index(means[arm]) + 1)
        for preset in PRESETS:
            others = [means[name] for name in NAMED if name in means]
            if preset in means and others:
                gains[preset].append(means[preset] - max(others))
    print("\n| | mean rank |\n|---|---|")
    for arm in sorted(ranks, key=lambda name: statistics.mean(ranks[name])):
        print(f"| {arm} | {statistics.mean(ranks[arm]):.2f} |")
    for preset, found in gains.items():
        print(
            f"\n{preset} against the best of {', '.join(NAMED)} in each cell: {statistics.mean(found):+.4f} on "
            f"average, {min(found):+.4f} at worst, {len(found)} cells."
        )


def plot(arguments):
    """Draw accuracy against seconds for every arm, a picture for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    cells = by_cell(read(arguments.folder))
    names = list(dict.fromkeys(data for data, _, _ in cells))
    sizes = [size for size in SIZES if any(cell[2] == size for cell in cells)]
    figure, grid = pyplot.subplots(
        len(sizes), len(names), figsize=(3.2 * len(names), 2.8 * len(sizes)), squeeze=False, layout="constrained"
    )
    colours = {arm: f"C{number}" for number, arm in enumerate(ARMS)}
    for (data, network, size), arms in cells.items():
        axes = grid[sizes.index(size)][names.index(data)]
        for arm, scores in arms.items():
            seconds = statistics.mean(spent for _, spent in scores)
            score = statistics.mean(score for score, _ in scores)
            marker = "o" if network == "MobileNetV2" else "s"
            axes.plot(seconds, score, marker, color=colours[arm], markersize=8 if arm in PRESETS else 5)
        axes.set(xscale="log", title=f"{data}, {size}", xlabel="seconds", ylabel="test accuracy")
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(ticker.NullFormatter())
        axes.grid(alpha=0.3)
    for axes in grid.flat:
        axes.set_visible(bool(axes.lines))
    seen = [arm for arm in ARMS if any(arm in arms for arms in cells.values())]
    handles = [pyplot.Line2D([], [], marker="o", linestyle="", color=colours[arm], label=arm) for arm in seen]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(seen))
    file = Path(arguments.folder) / "suite.png"
    figure.savefig(file, dpi=110)
    print(file)


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("run")
    command.set_defaults(do=run)
    command.add_argument("folder")
    command.add_argument("--data", nargs="+", default=list(suite_data.NAMES), choices=suite_data.NAMES)
    command.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=suite_backbones.NAMES)
    command.add_argument("--sizes", nargs="+", default=list(SIZES), choices=SIZES)
    command.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    command.add_argument("--splits", nargs="+", type=int, default=[0, 1, 2])
    for do in (table, plot):
        command = commands.add_parser(do.__name__)
        command.set_defaults(do=do)
        command.add_argument("folder")
    arguments = parser.parse_args()
    arguments.do(arguments)


if __name__ == "__main__":
    main()

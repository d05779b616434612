"""How much faster is a search on features that are extracted once, and does it find something worth finding?

On the photos and the MobileNetV2 of `kertl demo`, unless stated otherwise.

speed: 30 random trials of 10 epochs over width, dropout and rate of a head. Plain KerasTuner has the frozen backbone in
the model of each trial, and the images decoded once; two of its trials are measured and extrapolated. kertl's time is
that of all its trials, decoding and extraction included. Two trials with the same values, head and order of the images
are compared: their objectives may differ by 0.01.

strategies: the best value after n trials of random, grid and Bayesian search, five seeds each, 24 trials; the mean and
the range over the seeds in results/search_strategies.png. The grid has exactly 24 points, over the same ranges.

worth: what 30 random trials of `default_space` find, the best three trained again from other seeds and ranked by that,
is trained by `fine_tune` from three seeds, against the default `fine_tune` ("gradual", with the default head), on the
validation set; the test set is used once, for the first seed. Also on the digits that come with scikit-learn, with a
backbone that was trained to predict by how much they are rotated.

    python benchmarks/search.py [--work speed strategies worth] [--trials 30] [--epochs 10] [--seeds 5] [--folder F]
"""

import argparse
import functools
import math
import os
import statistics
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import keras
import keras_tuner
import numpy as np
import record
from matplotlib.figure import Figure

import kertl
from kertl.run_files import replace_file

RESULTS = Path(__file__).parent / "results"
MEASURED = 2


def values(hp):
    """Width, dropout and rate of a head."""
    units = hp.Choice("units", [64, 128, 256, 512])
    dropout = hp.Float("dropout", 0.0, 0.5, step=0.1)
    return units, dropout, hp.Float("learning_rate", 1e-4, 1e-2, sampling="log")


def space(hp, backbones):
    """Plain settings that the other side can have too."""
    return candidate(backbones[0], *values(hp))


def coarse(hp, backbones):
    """The same ranges in 24 points."""
    units, dropout = hp.Choice("units", [64, 512]), hp.Choice("dropout", [0.0, 0.25, 0.5])
    rate = hp.Choice("learning_rate", [1e-4, 4.6e-4, 2.2e-3, 1e-2])
    return candidate(backbones[0], units, dropout, rate)


def candidate(backbone, units, dropout, rate):
    plain = {"schedule": "constant", "optimizer": "adam", "weight_decay": 0.0, "label_smoothing": 0.0}
    stage = kertl.Stage("deep", learning_rate=rate, augment="none", batch_size=32, **plain)
    head = kertl.Head(hidden_units=(units,), dropout=dropout, batch_norm=False)
    return kertl.search.Candidate(backbone, kertl.Recipe(stages=[stage]), head)


class InTheModel(keras_tuner.HyperModel):
    """Plain KerasTuner: the backbone in the model of each trial, the images in memory, in kertl's order.

    Args:
        data: The images.
        backbone: A function that gives the backbone.
        head: A function that gives the weights of a head for some hyperparameters, those that kertl's begins with.
    """

    def __init__(self, data, backbone, head):
        super().__init__()
        self.data, self.backbone, self.head = data, backbone, head
        parts = (data.train, data.validation)
        self.arrays = [(part.reader.take(np.arange(part.num_examples)), np.asarray(part.labels)) for part in parts]

    def build(self, hp):
        """The model of a trial."""
        units, dropout, rate = values(hp)
        backbone = self.backbone()
        backbone.trainable = False
        inputs = keras.Input(backbone.input_shape[1:])
        x = keras.layers.GlobalAveragePooling2D()(backbone(inputs, training=False))
        x = keras.layers.Dense(units, activation="relu", name="dense")(x)
        x = keras.layers.Dropout(dropout)(x)
        model = keras.Model(inputs, keras.layers.Dense(self.data.num_classes, activation="softmax", name="answers")(x))
        for name, weights in zip(("dense", "answers"), self.head(hp), strict=True):
            model.get_layer(name).set_weights(weights)
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def fit(self, hp, model, **options):
        """Train it."""
        (x, y), judged = self.arrays
        order = InOrder(x, y, self.data.train.seed)
        return model.fit(order, validation_data=judged, validation_batch_size=32, shuffle=False, **options)


class InOrder(keras.utils.PyDataset):
    """Batches of 32 in kertl's order."""

    def __init__(self, x, y, seed):
        super().__init__()
        self.x, self.y, self.seed, self.epoch = x, y, seed, -1
        self.on_epoch_end()

    def __len__(self):
        return math.ceil(len(self.y) / 32)

    def __getitem__(self, index):
        rows = self.order[index * 32 : (index + 1) * 32]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        """Keras calls this before the first epoch too."""
        self.order = np.random.default_rng((self.seed, max(0, self.epoch))).permutation(len(self.y))
        self.epoch += 1


def speed(arguments, folder):
    """Both sides, and how far the objectives of one candidate differ."""
    start = time.perf_counter()
    data = cells.data(size=arguments.size)
    backbone = load(arguments.size)
    options = {"space": space, "max_trials": arguments.trials, "epochs": arguments.epochs, "confirm": 0}
    kertl.search.tune(data, backbones=[backbone], out=folder / "speed", **options)
    ours = time.perf_counter() - start

    fixed = keras_tuner.HyperParameters()
    fixed.Fixed("units", 128), fixed.Fixed("dropout", 0.0), fixed.Fixed("learning_rate", 1e-3)
    hypermodel = kertl.search.TransferHyperModel([backbone], data, space=space, cache_dir=folder / "speed" / "features")

    def head(hp):
        dense = [layer for layer in hypermodel.build(hp).layers if layer.get_weights()]
        return [layer.get_weights() for layer in dense]

    start = time.perf_counter()
    plain = InTheModel(data, lambda: load(arguments.size), head)
    decoding = time.perf_counter() - start
    tuner = keras_tuner.RandomSearch(plain, "val_accuracy", max_trials=MEASURED, seed=1, directory=folder)
    start = time.perf_counter()
    tuner.search(epochs=arguments.epochs, verbose=0)
    theirs = decoding + (time.perf_counter() - start) / MEASURED * arguments.trials
    mine = hypermodel.fit(fixed, hypermodel.build(fixed), epochs=arguments.epochs, verbose=0).history["val_accuracy"]
    other = plain.fit(fixed, plain.build(fixed), epochs=arguments.epochs, verbose=0).history["val_accuracy"]
    return {
        "what": f"{arguments.trials} trials, {arguments.epochs} epochs, {arguments.size} px",
        "kertl": f"{ours:.1f} s",
        "other": f"{theirs:.1f} s, {MEASURED} of {arguments.trials} trials measured",
        "result": f"{theirs / ours:.1f} times; objectives {abs(max(mine) - max(other)):.4f} apart",
    }


def strategies(arguments, folder):
    """The best value after n trials, by strategy and seed."""
    data, curves = cells.data(size=arguments.size), {}
    backbone = load(arguments.size)
    trials = min(24, arguments.trials)
    for strategy in ("random", "grid", "bayesian"):
        found = []
        for seed in range(arguments.seeds):
            result = kertl.search.tune(
                data,
                backbones=[backbone],
                space=coarse if strategy == "grid" else space,
                strategy=strategy,
                max_trials=trials,
                epochs=arguments.epochs,
                seed=seed,
                confirm=0,
                out=folder / f"{strategy}{seed}",
                cache_dir=folder / "features",
            )
            in_order = sorted(result.completed, key=lambda trial: int(trial.name))
            found.append(np.maximum.accumulate([trial.value for trial in in_order]))
        curves[strategy] = np.array([curve[: min(map(len, found))] for curve in found])
    draw(curves)
    last = {strategy: curve[:, -1] for strategy, curve in curves.items()}
    best = "; ".join(f"{name} {one.mean():.4f} ({one.min():.4f} to {one.max():.4f})" for name, one in last.items())
    return {"what": f"best of {trials} trials, {arguments.seeds} seeds", "kertl": "", "other": "", "result": best}


def draw(curves):
    """Each strategy's mean and range next to the means of the others."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    panels = figure.subplots(1, len(curves), sharex=True, sharey=True)
    for axes, (strategy, own) in zip(panels, curves.items(), strict=True):
        for curve in curves.values():
            axes.step(range(1, curve.shape[1] + 1), curve.mean(axis=0), where="post", color="0.75", linewidth=1)
        numbers = range(1, own.shape[1] + 1)
        axes.fill_between(numbers, own.min(axis=0), own.max(axis=0), step="post", color="#0072B2", alpha=0.15, lw=0)
        axes.step(numbers, own.mean(axis=0), where="post", color="#0072B2", linewidth=2)
        axes.set_title(strategy, loc="left", fontsize=10)
        axes.set_xlabel("trials")
        axes.grid(axis="y", color="0.92")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("best validation accuracy so far")
    seeds = len(next(iter(curves.values())))
    figure.suptitle(f"Mean and range of {seeds} seeds; grey: the means of the others", x=0.01, ha="left", fontsize=10)
    replace_file(RESULTS / "search_strategies.png", lambda beside: figure.savefig(beside, dpi=150))


def worth(name, data, backbone, arguments, folder):
    """The best found against the defaults, three seeds each; `backbone` gives a new one, since training changes it."""
    found = kertl.search.tune(
        data, backbones=[backbone()], max_trials=arguments.trials, epochs=arguments.epochs, out=folder / name
    )
    scores, tests = {"best found": [], "default": []}, {}
    for seed in range(min(3, arguments.seeds)):
        for which, accuracies in scores.items():
            network = backbone()
            keras.utils.set_random_seed(seed)
            head, recipe = (found.head, found.recipe) if which == "best found" else (kertl.Head(), "gradual")
            model = kertl.build(network, class_names=data.class_names, head=head)
            cache = folder / name / "features"
            run_dir = folder / f"{name}_{found.completed[0].name if which == 'best found' else 'default'}_{seed}"
            run = kertl.fine_tune(model, data, recipe=recipe, run_dir=run_dir, cache_dir=cache, verbose=0)
            accuracies.append(run.metrics["validation"]["accuracy"])
            tests.setdefault(which, run.metrics["test"]["accuracy"])
    shown = {
        which: f"{statistics.mean(one):.4f} ({min(one):.4f} to {max(one):.4f}), test once {tests[which]:.4f}"
        for which, one in scores.items()
    }
    won = statistics.mean(scores["best found"]) - statistics.mean(scores["default"])
    return {"what": name, "kertl": shown["best found"], "other": shown["default"], "result": f"{won:+.4f}"}


def load(size):
    return kertl.load_backbone(kertl.demo.fetch_weights(), preprocessing="tf", input_shape=(size, size, 3))


def digits():
    """The digits of scikit-learn and the network of examples/kerastuner_search."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "kerastuner_search"))
    import setting

    if not setting.INITIAL_BACKBONE.exists():
        setting.train_backbone()
    data = kertl.data.from_arrays(*setting.pictures(), validation=0.2, test=0.25)
    return data, lambda: kertl.load_backbone(keras.saving.load_model(setting.INITIAL_BACKBONE))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    works = ("speed", "strategies", "worth")
    parser.add_argument("--work", nargs="+", choices=works, default=works)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--folder", help="Where searches and runs are stored, so that interrupted ones resume.")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() if arguments.folder is None else nullcontext(arguments.folder) as name:
        folder = Path(name)
        if "speed" in arguments.work:
            rows.append(speed(arguments, folder))
        if "strategies" in arguments.work:
            rows.append(strategies(arguments, folder))
        if "worth" in arguments.work:
            backbone = functools.partial(load, arguments.size)
            rows.append(worth("cells", cells.data(size=arguments.size), backbone, arguments, folder))
            rows.append(worth("digits", *digits(), arguments, folder))
    print("\n| what | kertl | other | result |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row.values())} |")
    record.keep("search", rows, ("keras", "tensorflow", "keras-tuner"))


if __name__ == "__main__":
    main()

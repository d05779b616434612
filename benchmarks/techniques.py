"""What does each technique of fine-tuning give on its own, and what does it cost?

On the photos and the MobileNetV2 of `kertl demo`. Every arm starts from the same weights and, for a seed, the same
split. All but a few change one thing about "mid", here the default recipe of that name with 8 epochs after the boundary
instead of 15. Arms on features are trained at 160 px, with a seed each for three splits; those of the whole network at
128 px, with the first seed only. Each training is recorded as it ends, and not repeated later. `stages` holds the
validation losses with which the stages ended; the metrics are those of the best stage.

    python benchmarks/techniques.py train FOLDER [--arms mid ...] [--seeds 0 1 2]
    python benchmarks/techniques.py table FOLDER
"""

import argparse
import csv
import dataclasses
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
from kertl.recipe import named_recipe

FULL_SIZE = 128
EPOCHS = 8


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way of training."""

    recipe: kertl.Recipe | None = None
    head: dict | None = None
    size: int = 160
    pretrained: bool = True
    to_compare: str = "mid"

    def plan(self, model):
        """The recipe, which may depend on the model."""
        if self.recipe is not None:
            return self.recipe
        # four stages, which end after as many epochs in all
        return kertl.gradual_unfreezing(model, down_to="mid", by="block", epochs=EPOCHS // 4, views=2, rate_decay=1.0)


def mid(head=None, **changes):
    """The default recipe "mid", shortened, with some fields of its second stage changed."""
    first, second = named_recipe("mid").stages
    return Arm(kertl.Recipe(stages=[first, dataclasses.replace(second, **{"epochs": EPOCHS, **changes})]), head=head)


def whole(**changes):
    """Head first, then everything, at a smaller size."""
    first, second = named_recipe("full").stages
    recipe = kertl.Recipe(stages=[first, dataclasses.replace(second, **{"epochs": EPOCHS, **changes})])
    return Arm(recipe, size=FULL_SIZE, to_compare="full, 128 px")


def resized():
    """Half of the epochs at 128 pixels."""
    first, second = named_recipe("mid").stages
    small = dataclasses.replace(second, epochs=EPOCHS // 2, image_size=(128, 128))
    return Arm(kertl.Recipe(stages=[first, small, dataclasses.replace(second, epochs=EPOCHS // 2)]))


SCRATCH = kertl.Recipe(stages=[kertl.Stage("full", epochs=EPOCHS, learning_rate=1e-3, batch_norm="train")])

ARMS = {
    "frozen": Arm(named_recipe("deep")),
    "mid": mid(),
    "mid at 1e-4": mid(learning_rate=1e-4),
    "mid at 1e-5": mid(learning_rate=1e-5),
    "mid on plain photos": mid(augment="none", views=0),
    "constant rate": mid(schedule="constant"),
    "cosine": mid(schedule="cosine"),
    "range-test rate": mid(learning_rate="auto"),
    "discriminative rates": mid(learning_rate=(1e-5, 3e-4)),
    "gradual unfreezing": Arm(),
    "progressive resizing": resized(),
    "MixUp 0.2": mid(mixup=0.2),
    "no label smoothing": mid(label_smoothing=0.0),
    "EMA 0.98": mid(ema=0.98),
    "head of 256, BatchNorm": mid(head={"hidden_units": (256,)}),
    "head of 256, no BatchNorm": mid(head={"hidden_units": (256,), "batch_norm": False}),
    "no dropout": mid(head={"dropout": 0.0}),
    "focal loss": mid(loss="focal", label_smoothing=0.0),
    "oversampling": mid(oversample=True),
    "L2-SP 0.01": mid(l2_sp=0.01, weight_decay=0.0),
    "full, 128 px": whole(),
    "full, discriminative rates, 128 px": whole(learning_rate=(1e-6, 1e-4)),
    "from scratch, 128 px": Arm(SCRATCH, size=FULL_SIZE, pretrained=False, to_compare="full, 128 px"),
}
ONE_SEED = [name for name, arm in ARMS.items() if arm.size == FULL_SIZE]


def train(folder, name, seed):
    """One training, recorded."""
    arm = ARMS[name]
    keras.backend.clear_session()
    data = cells.data(seed, arm.size)
    start = time.perf_counter()
    model = cells.model(data.class_names, seed, arm.size, **(arm.head or {}))
    if not arm.pretrained:
        keras.utils.set_random_seed(seed)
        fresh = keras.models.clone_model(model)
        model.set_weights(fresh.get_weights())
    plan = dataclasses.replace(arm.plan(model), seed=seed)
    run = kertl.fine_tune(model, data, recipe=plan, cache_dir=folder / "features", verbose=0)
    row = {
        "arm": name,
        "seed": seed,
        "validation": round(run.metrics["validation"]["accuracy"], 4),
        "test": round(run.metrics["test"]["accuracy"], 4),
        "crossentropy": round(run.metrics["test"]["crossentropy"], 4),
        "stages": " ".join(f"{one.value:.4f}" for one in run.stages),
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(*row.values(), sep=", ", flush=True)
    new = not (folder / "rows.csv").exists()
    with (folder / "rows.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def read(folder):
    """What has been trained, by arm and seed."""
    if not (folder / "rows.csv").exists():
        return {}
    with (folder / "rows.csv").open(newline="") as file:
        return {(row["arm"], int(row["seed"])): row for row in csv.DictReader(file)}


def table(folder):
    """Print the table, and save the rows."""
    rows = read(folder)
    print("| | validation | test: mean (lowest to highest) | against | on the same splits | cross-entropy | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name, arm in ARMS.items():
        mine = {seed: row for (one, seed), row in rows.items() if one == name}
        if not mine:
            continue

        def mean(metric, mine=mine):
            return statistics.mean(float(row[metric]) for row in mine.values())

        tests = [float(row["test"]) for row in mine.values()]
        pairs = [
            float(row["test"]) - float(rows[arm.to_compare, seed]["test"])
            for seed, row in mine.items()
            if (arm.to_compare, seed) in rows
        ]
        against = (
            ""
            if name == arm.to_compare or not pairs
            else f"{np.mean(pairs):+.4f} ({min(pairs):+.4f} to {max(pairs):+.4f})"
        )
        print(
            f"| {name} | {mean('validation'):.4f} | {mean('test'):.4f} ({min(tests):.4f} to {max(tests):.4f}) | "
            f"{arm.to_compare if against else ''} | {against} | {mean('crossentropy'):.3f} | {mean('seconds'):.0f} |"
        )
    record.keep("techniques", list(rows.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["train", "table"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    if arguments.what == "table":
        table(arguments.folder)
        return
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.arms:
            if (name, seed) not in read(arguments.folder) and (seed == arguments.seeds[0] or name not in ONE_SEED):
                train(arguments.folder, name, seed)


if __name__ == "__main__":
    main()

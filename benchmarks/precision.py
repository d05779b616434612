"""Does training in bfloat16 cost accuracy?

The photos of solar cells at 96 px, MobileNetV2, the recipe "mid" or "full", in float32 and in bfloat16 from the same
seeds: each seed is another split, another head and another order. What is asked is a mean difference of the test
accuracy of at most 0.5 points, which are three of the 656 test images.

    python benchmarks/precision.py [--recipes mid] [--seeds 0 1 2] [--size 96]
        [--precisions float32 mixed_bfloat16]

The answer is in docs/design/hardware.md, the rows in `benchmarks/results/precision.csv`.
"""

import argparse
import os
import resource
import statistics

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import keras
import record

import kertl
from kertl.recipe import named_recipe

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")


def measure(recipe, precision, seed, size):
    """Train once."""
    data = cells.data(seed, size)
    model = cells.model(data.class_names, seed, size)
    before = cpu_seconds()
    stages = named_recipe(recipe).stages
    trained = kertl.Recipe(stages=stages, precision=precision, seed=seed)
    run = kertl.fine_tune(model, data, recipe=trained, verbose=0)
    return {
        "recipe": recipe,
        "precision": precision,
        "size": size,
        "seed": seed,
        "validation_loss": f"{run.stages[run.best_stage].value:.4f}",
        "test": f"{run.metrics['test']['accuracy']:.4f}",
        "cpu_seconds": f"{cpu_seconds() - before:.0f}",
    }


def cpu_seconds():
    """Seconds of computing by this process so far, summed over its cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", nargs="+", default=["mid"], choices=["deep", "mid", "full"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS[:2], choices=PRECISIONS)
    parser.add_argument("--size", type=int, default=96)
    arguments = parser.parse_args()
    for recipe in arguments.recipes:
        apart = {precision: [] for precision in arguments.precisions[1:]}
        for seed in arguments.seeds:
            rows = [measure(recipe, precision, seed, arguments.size) for precision in arguments.precisions]
            record.keep("precision", rows)
            for row in rows:
                print(", ".join(map(str, row.values())), flush=True)
            for row in rows[1:]:
                apart[row["precision"]].append(100 * (float(row["test"]) - float(rows[0]["test"])))
            keras.backend.clear_session()
        for precision, points in apart.items():
            print(
                f"{recipe}: {precision} against the first, {statistics.mean(points):+.2f} points on average, {points}"
            )


if __name__ == "__main__":
    main()

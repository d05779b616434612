"""How close do cached versions of each image (`views`) come to live augmentation in accuracy, and what do they cost?

On the photos and the weights of `kertl demo`: a head alone ("deep") and from the last halving on ("mid"), on features
of the plain photos, of 1 to 8 augmented versions of each, and with augmentation in every epoch.

    python benchmarks/views.py [--at deep mid] [--epochs 20] [--seeds 0 1 2] [--augment light]
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cells
import numpy as np
import record

import kertl
from kertl.recipe import NAMED


def trained(at, versions, seed, arguments):
    """One training: its accuracies, its seconds, and the megabytes of its cached features."""
    data = cells.data(seed)
    model = cells.model(data.class_names, seed)
    how = {
        "plain": {"augment": "none", "cache": True},
        "live": {"augment": arguments.augment, "cache": False},
    }.get(versions, {"augment": arguments.augment, "cache": True, "views": versions})
    rate = NAMED[at][-1].learning_rate
    recipe = kertl.Recipe(stages=[kertl.Stage(at, epochs=arguments.epochs, learning_rate=rate, **how)], seed=seed)
    prefix, _ = kertl.split(model, at)
    per_image = 4 * int(np.prod(prefix.output_shape[1:]))
    start = time.perf_counter()
    run = kertl.fine_tune(model, data, recipe=recipe, verbose=0)
    seconds = time.perf_counter() - start
    count = {"plain": 1, "live": 0}.get(versions, versions)
    return run.metrics, seconds, per_image * data.train.num_examples * count / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", nargs="+", default=["deep", "mid"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--augment", default="light", choices=["light", "strong"])
    arguments = parser.parse_args()
    rows = []
    print("at    versions  validation        test  seconds  megabytes")
    for at in arguments.at:
        for versions in ("plain", 1, 2, 4, 8, "live"):
            found = [trained(at, versions, seed, arguments) for seed in arguments.seeds]
            row = {
                "at": at,
                "augment": arguments.augment,
                "versions": versions,
                "epochs": arguments.epochs,
                "seeds": len(arguments.seeds),
                "validation": round(statistics.mean(m["validation"]["accuracy"] for m, _, _ in found), 4),
                "test": round(statistics.mean(m["test"]["accuracy"] for m, _, _ in found), 4),
                "seconds": round(statistics.median(seconds for _, seconds, _ in found), 1),
                "megabytes": round(found[0][2], 1),
            }
            print(
                f"{at:5} {versions!s:8} {row['validation']:11.4f} {row['test']:11.4f} "
                f"{row['seconds']:8.1f} {row['megabytes']:10.1f}",
                flush=True,
            )
            rows.append(row)
    record.keep("views", rows)


if __name__ == "__main__":
    main()

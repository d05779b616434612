"""What do low-rank factors give, against "mid" and "full": parameters that train, memory, accuracy?

The photos of solar cells at 96 px, MobileNetV2; after the same "deep" stage one more: "mid" and "full" as named recipes
have them but for the epochs, and both with `lora_rank=8` and ten times the rate. Each training is a process of its
own. The memory is what the process used at most beyond what it had before the first step; where features are cached,
they are in it.

    python benchmarks/lora.py [--arms mid full "mid, rank 8" "full, rank 8"] [--seeds 0] [--size 96] [--epochs 4]

The answer is in docs/design/hardware.md, the rows in `benchmarks/results/lora.csv`.
"""

import argparse
import dataclasses
import json
import math
import os
import resource
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import record

RANK = 8
ARMS = ("mid", "full", f"mid, rank {RANK}", f"full, rank {RANK}")


def train(arm, seed, size, epochs):
    """One training; what it needed and reached, as JSON."""
    import cells
    import keras
    import memory

    import kertl
    from kertl.recipe import named_recipe

    data = cells.data(seed, size)
    model = cells.model(data.class_names, seed, size)
    first, last = named_recipe(arm.partition(",")[0]).stages
    last = dataclasses.replace(last, epochs=epochs)
    if "rank" in arm:
        last = dataclasses.replace(last, lora_rank=RANK, learning_rate=10 * last.learning_rate)
    watch, count = memory.Watch(keras), []
    counting = keras.callbacks.LambdaCallback()
    counting.on_train_begin = lambda logs=None: count.append(parameters(counting.model))
    before = cpu_seconds()
    recipe = kertl.Recipe(stages=[first, last], seed=seed)
    run = kertl.fine_tune(model, data, recipe=recipe, callbacks=[watch.callback, counting], verbose=0)
    peak = memory.peak() - watch.before
    told = {
        "parameters": count[-1],
        "memory_mb": round(peak / 1e6),
        "validation_loss": round(run.stages[-1].value, 4),
        "test": round(run.metrics["test"]["accuracy"], 4),
        "best_stage": run.stages[run.best_stage].at,
        "cpu_seconds": round(cpu_seconds() - before),
    }
    print(json.dumps(told))


def parameters(model):
    """How many numbers of a model train."""
    return sum(math.prod(variable.shape) for variable in model.trainable_variables)


def cpu_seconds():
    """Seconds of computing by this process so far, summed over its cores."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="+", default=ARMS, choices=ARMS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--alone", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        arm, *numbers = options.alone
        train(arm, *map(int, numbers))
        return
    for seed in options.seeds:
        for arm in options.arms:
            command = [sys.executable, __file__, "--alone", arm, *map(str, (seed, options.size, options.epochs))]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            row = {
                "arm": arm,
                "size": options.size,
                "epochs": options.epochs,
                "seed": seed,
                **json.loads(printed.splitlines()[-1]),
            }
            record.keep("lora", [row])
            print(row, flush=True)


if __name__ == "__main__":
    main()

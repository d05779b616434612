"""How much memory does gradient checkpointing save, and what does it cost?

Trains "full" for some steps on noise with random weights, with and without `Stage(gradient_checkpointing=True)`, each
in a process of its own, in turns. Prints the peak of the memory that the process used beyond what it had before the
first step, the time of a step after the first, and whether the losses are equal.

    python benchmarks/memory.py [--models ResNet50 ConvNeXtTiny] [--size 160] [--batch 32] [--steps 4] [--rounds 3]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

import record

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def train(name, size, batch, steps, again):
    """Losses, seconds of a step, and bytes beyond what the process had before, as JSON."""
    import keras
    import numpy as np
    import psutil

    import kertl

    keras.utils.set_random_seed(0)
    model = kertl.build(name, num_classes=2, weights=None, input_shape=(size, size, 3))
    images = np.random.default_rng(0).integers(0, 256, (batch * steps, size, size, 3), dtype="uint8")
    data = kertl.data.from_arrays(images, [0, 1] * (batch * steps // 2), validation=0, test=0, batch_size=batch)
    watch = Watch(keras, psutil.Process())
    stage = kertl.Stage("full", epochs=1, augment="none", gradient_checkpointing=again)
    run = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[stage]), callbacks=[watch.callback], verbose=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - watch.before
    print(json.dumps({"loss": run.history["loss"], "seconds": statistics.median(watch.seconds[1:]), "bytes": peak}))


class Watch:
    """The memory before the first step, and the seconds of each."""

    def __init__(self, keras, process):
        self.before, self.seconds = 0, []

        def begin(batch, logs=None):
            self.before = self.before or process.memory_info().rss
            self.start = time.perf_counter()

        def end(batch, logs=None):
            self.seconds.append(time.perf_counter() - self.start)

        self.callback = keras.callbacks.LambdaCallback()
        self.callback.on_train_batch_begin, self.callback.on_train_batch_end = begin, end


def measured(options, name, again):
    """What a process of its own prints."""
    numbers = [str(number) for number in (options.size, options.batch, options.steps, int(again))]
    command = [sys.executable, __file__, "--alone", name, *numbers]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["ResNet50", "ConvNeXtTiny"])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        name, *numbers = options.alone
        train(name, *map(int, numbers[:3]), again=numbers[3] == "1")
        return
    rows = []
    for name in options.models:
        pairs = [[measured(options, name, again) for again in (False, True)] for _ in range(options.rounds)]
        memory = [statistics.median(pair[side]["bytes"] for pair in pairs) for side in (0, 1)]
        seconds = statistics.median(pair[1]["seconds"] / pair[0]["seconds"] for pair in pairs)
        equal = all(pair[0]["loss"] == pair[1]["loss"] for pair in pairs)
        rows.append(
            {
                "model": name,
                "batch": f"{options.batch} of {options.size} px",
                "memory": f"{memory[0] / 1e9:.2f} GB",
                "with checkpointing": f"{memory[1] / 1e9:.2f} GB",
                "share": f"{memory[1] / memory[0]:.2f}",
                "times as long": f"{seconds:.2f}",
                "equal losses": equal,
            }
        )
        print(rows[-1], flush=True)
    record.keep("memory", rows)


if __name__ == "__main__":
    main()

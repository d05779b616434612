"""How much memory do gradient checkpointing and low-rank factors save, and what do they cost?

Trains "full" for two epochs on noise with random weights, as it is and with `gradient_checkpointing=True` or
`lora_rank=8`, each in a process of its own, in turns. Prints the peak of the memory beyond what there was before the
first step (of the process on a CPU, of the device on an accelerator, where JAX has to be the backend), the time of the
second epoch, and how far the losses are apart.

    python benchmarks/memory.py [--models ResNet50 ConvNeXtTiny ViT-B] [--saving checkpointing]
        [--size 160] [--batch 32] [--steps 4] [--rounds 3]

The rows are in `benchmarks/results/memory.csv`.
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

SAVING = {"nothing": {}, "checkpointing": {"gradient_checkpointing": True}, "rank 8": {"lora_rank": 8}}
MODELS = ("ResNet50", "ConvNeXtTiny", "ViT-B")


def train(name, size, batch, steps, saving):
    """Losses, seconds of an epoch, and bytes beyond what there was before, as JSON."""
    import keras
    import numpy as np

    import kertl

    keras.utils.set_random_seed(0)
    model = kertl.build(network(name, size), num_classes=2, weights=None, input_shape=(size, size, 3))
    images = np.random.default_rng(0).integers(0, 256, (batch * steps, size, size, 3), dtype="uint8")
    data = kertl.data.from_arrays(images, [0, 1] * (batch * steps // 2), validation=0, test=0, batch_size=batch)
    watch = Watch(keras)
    stage = kertl.Stage("full", epochs=2, augment="none", learning_rate=1e-5, **SAVING[saving])
    run = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[stage]), callbacks=[watch.callback], verbose=0)
    seconds = watch.times[3] - watch.times[2]
    print(json.dumps({"loss": run.history["loss"], "seconds": seconds, "bytes": peak() - watch.before}))


def network(name, size):
    """A backbone with random weights, by name."""
    if name != "ViT-B":
        return name
    import keras_hub

    import kertl

    shape = {"patch_size": 16, "num_layers": 12, "num_heads": 12, "hidden_dim": 768, "mlp_dim": 3072}
    return kertl.load_backbone(keras_hub.models.ViTBackbone(image_shape=(size, size, 3), **shape), preprocessing="tf")


class Watch:
    """The memory before the first step, and the times at the beginning and the end of each epoch."""

    def __init__(self, keras):
        self.before, self.times = 0, []

        def begin(epoch, logs=None):
            self.before = self.before or used()
            self.times.append(time.perf_counter())

        def end(epoch, logs=None):
            self.times.append(time.perf_counter())

        self.callback = keras.callbacks.LambdaCallback(on_epoch_begin=begin, on_epoch_end=end)


def used():
    """Bytes in use now."""
    import psutil

    return psutil.Process().memory_info().rss if (told := _on_device()) is None else told["bytes_in_use"]


def peak():
    """The most bytes that were in use."""
    if (told := _on_device()) is not None:
        return told["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _on_device():
    """What an accelerator says of its memory; None on a CPU, whose memory is that of the process."""
    import keras

    if keras.backend.backend() != "jax":
        return None
    import jax

    return jax.devices()[0].memory_stats()


def measured(options, name, saving):
    """What a process of its own prints."""
    numbers = [str(number) for number in (options.size, options.batch, options.steps)]
    command = [sys.executable, __file__, "--alone", name, *numbers, saving]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(printed.splitlines()[-1])


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS[:2], choices=MODELS)
    parser.add_argument("--saving", default="checkpointing", choices=list(SAVING)[1:])
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--alone", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        name, *numbers, saving = options.alone
        train(name, *map(int, numbers), saving)
        return
    rows = []
    for name in options.models:
        pairs = [
            [measured(options, name, saving) for saving in ("nothing", options.saving)] for _ in range(options.rounds)
        ]
        memory = [statistics.median(pair[side]["bytes"] for pair in pairs) for side in (0, 1)]
        seconds = statistics.median(pair[1]["seconds"] / pair[0]["seconds"] for pair in pairs)
        apart = max(abs(b / a - 1) for pair in pairs for a, b in zip(*(side["loss"] for side in pair), strict=True))
        rows.append(
            {
                "model": name,
                "saving": options.saving,
                "batch": f"{options.batch} of {options.size} px",
                "memory": f"{memory[0] / 1e9:.2f} GB",
                "with": f"{memory[1] / 1e9:.2f} GB",
                "share": f"{memory[1] / memory[0]:.2f}",
                "times as long": f"{seconds:.2f}",
                "losses apart": f"{apart:.1e}",
            }
        )
        print(rows[-1], flush=True)
    record.keep("memory", rows)


if __name__ == "__main__":
    main()

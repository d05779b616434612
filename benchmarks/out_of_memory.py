"""Does a run go on where the memory of an accelerator really runs out, and does it end like one that had enough?

Trains "full" on noise with random weights twice on JAX, each in a process of its own: with all of the memory, and with
a share of it that is too small for a whole batch. Prints how many images were computed at once, and the losses of both.

    KERAS_BACKEND=jax python benchmarks/out_of_memory.py [--model ResNet50] [--batch 512] [--share 0.03]

The rows go to `benchmarks/results/out_of_memory.csv`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import record

SIZE, STEPS, EPOCHS = 160, 4, 3


def train(name, batch):
    """The losses, and the images that were computed at once, as JSON."""
    import keras
    import numpy as np

    import kertl

    keras.utils.set_random_seed(0)
    model = kertl.build(name, num_classes=10, weights=None, input_shape=(SIZE, SIZE, 3))
    images = np.random.default_rng(0).integers(0, 256, (batch * STEPS, SIZE, SIZE, 3), dtype="uint8")
    data = kertl.data.from_arrays(images, np.arange(len(images)) % 10, validation=0, test=0, batch_size=batch)
    recipe = kertl.Recipe(stages=[kertl.Stage("full", epochs=EPOCHS, augment="none")])
    with tempfile.TemporaryDirectory() as folder:
        run = kertl.fine_tune(model, data, recipe=recipe, run_dir=f"{folder}/run", report=False, verbose=0)
        choices = Path(folder, "run", "choices.json")
        chosen = json.loads(choices.read_text()).get("0", {}) if choices.exists() else {}
    print(json.dumps({"at_once": chosen.get("part_size", batch), "loss": run.history["loss"]}))


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ResNet50")
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--share", type=float, default=0.03)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        train(options.model, options.batch)
        return
    command = [sys.executable, __file__, "--alone", "--model", options.model, "--batch", str(options.batch)]
    rows = []
    for share in (0.75, options.share):
        environment = {**os.environ, "XLA_PYTHON_CLIENT_MEM_FRACTION": str(share)}
        printed = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
        told = json.loads(printed.splitlines()[-1])
        losses = " ".join(f"{loss:.5f}" for loss in told["loss"])
        rows.append(
            {
                "model": options.model,
                "batch": options.batch,
                "share": share,
                "at_once": told["at_once"],
                "losses": losses,
            }
        )
        print(rows[-1], flush=True)
    record.keep("out_of_memory", rows, packages=("keras", "jax"))


if __name__ == "__main__":
    main()

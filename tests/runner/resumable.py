"""A run in a process of its own, to be killed and started again: `python -m tests.runner.resumable FOLDER`.

Images in files, listed in a CSV table; class weights; deep, mid and full stages, dropout and augmentation. At its end
it prints the digest of all weights. KERTL_TEST_DIES is "<function>:<file>:<before or after>:<n>": the process dies
before or after the nth call of a function that touches a file of that name, as if it were killed there.
"""

import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
from PIL import Image

import kertl
from tests.runs import COLOURS, classifier, digest, quick, recipe


def draw(folder):
    """Pictures of coloured squares, with their table."""
    random, rows = np.random.default_rng(0), ["file,label"]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for name, colour in COLOURS.items():
        for number in range(16 - 4 * (name == "red")):
            picture = random.integers(90, 160, (32, 32, 3), dtype="uint8")
            top, left = random.integers(0, 16, 2)
            picture[top : top + 16, left : left + 16] = colour
            Image.fromarray(picture).save(folder / "images" / f"{name}{number}.png")
            rows.append(f"images/{name}{number}.png,{name}")
    (folder / "labels.csv").write_text("\n".join(rows))


def plan():
    shared = {"class_weights": True, "learning_rate": 0.003}
    return recipe(
        quick("deep", epochs=3, augment="light", **shared),
        quick("mid", epochs=3, augment="strong", **shared),
        quick("full", epochs=2, augment="light", batch_norm="train", **shared),
    )


def die_at(function, name, when, count):
    """Have the process end at the nth call of a function of the operating system."""
    owner, attribute = {"fsync": (os, "fsync"), "replace": (Path, "replace"), "unlink": (Path, "unlink")}[function]
    original, left = getattr(owner, attribute), [int(count)]

    def dying(first, *arguments, **options):
        path = str(Path(f"/proc/self/fd/{first}").readlink()) if function == "fsync" else str(first)
        left[0] -= name in path
        if when == "before" and name in path and left[0] == 0:
            os._exit(137)
        result = original(first, *arguments, **options)
        if name in path and left[0] == 0:
            os._exit(137)
        return result

    setattr(owner, attribute, dying)


class Says(keras.callbacks.Callback):
    """Tells when training begins."""

    said = False

    def on_train_batch_begin(self, batch, logs=None):
        if not self.said:
            print("trains", flush=True)
        self.said = True

    def get_state(self):
        return None


def main(folder, seconds="0"):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the tests run in the background
    if os.environ.get("KERTL_TEST_DIES"):
        die_at(*os.environ["KERTL_TEST_DIES"].split(":"))
    folder = Path(folder)
    data = kertl.data.from_csv(folder / "labels.csv", image_size=(32, 32), validation=0.25, test=0.25, batch_size=4)
    print("begins", flush=True)
    run = kertl.fine_tune(
        classifier(dropout=0.3),
        data,
        recipe=plan(),
        callbacks=[Says()],
        run_dir=folder / "run",
        checkpoint_seconds=float(seconds),
        report=False,
        verbose=0,
    )
    print(digest(run.model), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

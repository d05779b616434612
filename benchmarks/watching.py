"""How much longer does training take with `kertl.callbacks.TensorBoard`?

A MobileNetV2 is trained on random pictures, with the callback and without in turn, in one process. The processor's time
is compared too, since other work on the machine changes it less, and so is the time inside the callback: 2.4 % of the
time in the last answer, on a machine with much other work.

    python benchmarks/watching.py [--at mid] [--size 96] [--images 640] [--epochs 4] [--pairs 3]
"""

import argparse
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record

import kertl
from kertl.callbacks import TensorBoard

_HOOKS = ("on_train_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end", "on_train_end")


class Timed(TensorBoard):
    """The callback, with the seconds that are spent in it."""

    seconds = 0.0


def _timed(name):
    whole = getattr(TensorBoard, name)

    def hook(self, *arguments, **options):
        start = time.perf_counter()
        try:
            return whole(self, *arguments, **options)
        finally:
            self.seconds += time.perf_counter() - start

    return hook


for _name in _HOOKS:
    setattr(Timed, _name, _timed(_name))


def fitted(model, data, epochs, callbacks=()):
    """Seconds, and seconds of the processor, for some epochs."""
    start, busy = time.perf_counter(), time.process_time()
    model.fit(data.train, validation_data=data.validation, epochs=epochs, callbacks=list(callbacks), verbose=0)
    return time.perf_counter() - start, time.process_time() - busy


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", default="mid")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (arguments.images, arguments.size, arguments.size, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, np.arange(arguments.images) % 4, validation=0.2, test=0)
    keras.utils.set_random_seed(0)
    model = kertl.build(
        "MobileNetV2", class_names=data.class_names, weights=None, input_shape=(arguments.size, arguments.size, 3)
    )
    stage = kertl.stage_model(model, arguments.at)
    stage.compile(keras.optimizers.Adam(1e-5), "sparse_categorical_crossentropy", metrics=["accuracy"])
    fitted(stage, data, 1)
    ratios, busy, shares = [], [], []
    for _ in range(arguments.pairs):
        plain = fitted(stage, data, arguments.epochs)
        with tempfile.TemporaryDirectory() as folder:
            board = Timed(folder, validation=data.validation, class_names=data.class_names, every_steps=10)
            watched = fitted(stage, data, arguments.epochs, [board])
        ratios.append(watched[0] / plain[0])
        busy.append(watched[1] / plain[1])
        shares.append(board.seconds / watched[0])
        print(f"{ratios[-1]:.3f} times as long, {busy[-1]:.3f} of the processor, {shares[-1]:.2%} inside", flush=True)
    row = {
        "at": arguments.at,
        "size": arguments.size,
        "images": arguments.images,
        "epochs": arguments.epochs,
        "pairs": arguments.pairs,
        "seconds_ratio": round(statistics.median(ratios), 4),
        "processor_ratio": round(statistics.median(busy), 4),
        "share_inside": round(statistics.median(shares), 4),
    }
    print(row)
    record.keep("watching", [row])


if __name__ == "__main__":
    main()

"""How fast do images reach `fit`, from kertl.data and from keras.utils.image_dataset_from_directory?

Both read the same files in one process, in turn, as `fit` consumes them: a model with almost no arithmetic is trained
for some epochs, the first of which is not counted. The table gives images per second and their ratio, from the fastest
epoch of each side: other work on the machine can only slow an epoch down; and images per second of the processor, which
it slows down less. "cached" is the dataset itself given to `fit`; "gathered" is what kertl's own training gives it,
batches that TensorFlow gathers from the same memory; "bytes" compares these with Keras' cache of bytes instead of
floats.

    python benchmarks/input_pipeline.py [--images DIR]

The last answer (2,624 gray PNG files of 300 x 300, at 160 px in batches of 32, two cores that others kept at a load of
14; of the processor, and in brackets by the clock, which varied from run to run): from files 5.2 (5.8), since kertl
keeps the pixels that its check decoded; with both caches in memory 0.45 (0.28), gathered 0.65 (0.52; in two other runs
0.59 and 0.98), and against bytes 0.74 (0.71). Keras' cache holds whole batches in float32, four times the memory, and
hands them over without a copy. kertl's are uint8, in a new order in each epoch: they are gathered, and the model makes
floats of them. Python is no longer asked between batches, which gained little. Keras' own cache of bytes, in one order,
reaches 0.88 of its cache of floats, so the 0.9 that were asked are out of reach for batches of bytes that are gathered.
A MobileNetV2 takes 130 ms for a batch on two cores of its own.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record
import tensorflow as tf

import kertl.data
import kertl.demo


class Stopwatch(keras.callbacks.Callback):
    """Keeps the seconds of every epoch after the first, by the clock and of the processor."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        """Starts the watch."""
        self.start = np.array([time.perf_counter(), time.process_time()])

    def on_epoch_end(self, epoch, logs=None):
        """Reads it."""
        if epoch > 0:
            self.seconds.append([time.perf_counter(), time.process_time()] - self.start)


def class_tree(images, root):
    """Links to the files of `images` in two class folders; returns their number."""
    files = sorted(path.resolve() for path in Path(images).iterdir() if path.is_file())
    for name in ("even", "odd"):
        (root / name).mkdir()
    for k, file in enumerate(files):
        (root / ("odd" if k % 2 else "even") / file.name).symlink_to(file)
    return len(files)


def pipelines(root, size, batch):
    """The pipelines, by name."""
    plain = keras.utils.image_dataset_from_directory(root, image_size=(size, size), batch_size=batch, verbose=False)
    options = {"image_size": (size, size), "batch_size": batch, "validation": 0, "test": 0}
    return {
        "kertl files": kertl.data.from_directory(root, **options).train,
        "keras files": plain,
        "kertl cached": kertl.data.from_directory(root, cache="memory", **options).train,
        "kertl gathered": kertl.data.from_directory(root, cache="memory", **options).train.to_tf_dataset(),
        "keras cached": plain.cache().prefetch(tf.data.AUTOTUNE),
        "keras bytes": plain.map(lambda x, y: (tf.cast(x, tf.uint8), y)).cache().prefetch(tf.data.AUTOTUNE),
    }


def small_model(size):
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def measure(images, size, batch, rounds, epochs):
    """Images per second of each pipeline, by the clock and of the processor."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        count = class_tree(images, Path(folder))
        sides = {name: (dataset, small_model(size)) for name, dataset in pipelines(folder, size, batch).items()}
        for _ in range(rounds):
            for name, (dataset, model) in sides.items():
                watch = Stopwatch()
                model.fit(dataset, epochs=epochs + 1, shuffle=False, verbose=0, callbacks=[watch])
                seconds.setdefault(name, []).extend(watch.seconds)
    return count, {name: count / np.min(values, axis=0) for name, values in seconds.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", help="a folder of image files; by default the photos of `kertl demo`")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    arguments.images = arguments.images or kertl.demo.fetch_photos() / "images"
    count, rates = measure(**vars(arguments))
    rows = []
    for kind, other in (("files", "files"), ("cached", "cached"), ("gathered", "cached"), ("bytes", "bytes")):
        sides = rates[f"kertl {'gathered' if kind == 'bytes' else kind}"], rates[f"keras {other}"]
        for of, ours, theirs in zip(("", ", processor"), *sides, strict=True):
            row = {
                "images": count,
                "size": arguments.size,
                "batch": arguments.batch,
                "kind": kind + of,
                "kertl_images_per_s": round(ours),
                "keras_images_per_s": round(theirs),
                "ratio": round(ours / theirs, 2),
            }
            print(f"{kind + of:20} kertl {ours:8.0f} images/s   keras {theirs:8.0f}   ratio {ours / theirs:.2f}")
            rows.append(row)
    record.keep("input_pipeline", rows, ("keras", "tensorflow", "pillow"))


if __name__ == "__main__":
    main()

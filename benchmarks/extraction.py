"""How much of an engine's own speed does kertl.extract reach, from memory and from files?

The engine alone runs over batches that are already decoded; `extract` does the whole job: reading, computing, caching.
From files it is compared with decoding alone plus computing alone, which share the same cores. The sides take turns in
one process, and the results are medians. A first, uncounted extraction makes the engine; the time for that, tracing,
conversion and the comparison with Keras included, is reported separately.

    python benchmarks/extraction.py [--images DIR] [--weights FILE] [--size 160] [--rounds 3] [--engine auto]

By default the photos and the weights of `kertl demo`.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record

import kertl
import kertl.data
import kertl.demo
from kertl.features._choice import engines_of
from kertl.features._job import batch_size


def timed(work):
    """The seconds that some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sides(prefix, model, dataset, size, engine):
    """The four pieces of work, by name, with how long it took to get the engine ready."""
    ordered = dataset.in_order()
    count, batch = ordered.num_examples, batch_size()
    decoded = ordered.reader.take(np.arange(count))
    seconds = timed(lambda: kertl.extract(model, decoded[:1], engine=engine, verbose=False))
    engines = engines_of(model, prefix, None, (batch, size, size, 3), np.uint8, "float32")
    choice = engines.choose(engine)
    runner = engines.engine(choice.name)

    def compute():
        for start in range(0, count - count % batch, batch):
            runner.fetch(runner.run(runner.send(decoded[start : start + batch])))

    def decode():
        for start in range(0, count, batch):
            ordered.reader.take(np.arange(start, min(start + batch, count)))

    compute()
    works = {
        "engine": compute,
        "decoding": decode,
        "from memory": lambda: kertl.extract(model, decoded, engine=engine, verbose=False),
        "from files": lambda: kertl.extract(model, ordered, engine=engine, verbose=False),
    }
    return works, count, choice, seconds


def measure(arguments):
    """The medians of the seconds of each side, in turns."""
    model = kertl.load_backbone(arguments.weights, input_shape=(arguments.size, arguments.size, 3))
    inputs = keras.Input(model.input_shape[1:])
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(model(inputs)))
    prefix, _ = kertl.split(model, "deep")
    dataset = kertl.data.images(arguments.images, image_size=(arguments.size, arguments.size))
    works, count, choice, ready = sides(prefix, model, dataset, arguments.size, arguments.engine)
    seconds = {name: [] for name in works}
    for _ in range(arguments.rounds):
        for name, work in works.items():
            seconds[name].append(timed(work))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    medians["engine"] *= count / (count - count % batch_size())
    return medians, count, choice, ready


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of image files; by default the photos of `kertl demo`")
    parser.add_argument("--weights", help="a file of a model or a name; by default the weights of `kertl demo`")
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=["auto", "keras", "openvino"], default="auto")
    arguments = parser.parse_args()
    arguments.images = arguments.images or kertl.demo.fetch_photos() / "images"
    arguments.weights = arguments.weights or kertl.demo.fetch_weights()
    medians, count, choice, ready = measure(arguments)
    kept = medians["engine"] / medians["from memory"]
    apart = medians["from files"] / (medians["decoding"] + medians["engine"])
    print(f"{choice.name}: {choice.reason}; ready after {ready:.1f} s")
    for name, seconds in medians.items():
        print(f"{name:12} {count / seconds:8.0f} images/s")
    print(f"from memory at {kept:.2f} of the engine's speed; from files in {apart:.2f} of decoding + engine")
    row = {
        "images": count,
        "size": arguments.size,
        "engine": choice.name,
        "ready_s": round(ready, 1),
        **{f"{name.replace(' ', '_')}_images_per_s": round(count / seconds) for name, seconds in medians.items()},
        "memory_over_engine": round(kept, 2),
        "files_over_sum": round(apart, 2),
    }
    record.keep("extraction", [row], ("keras", "tensorflow", "openvino", "pillow"))


if __name__ == "__main__":
    main()

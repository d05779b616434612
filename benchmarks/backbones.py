"""How large and how fast are backbones, as feature extractors on this machine?

Extracts features of noise with random weights, each network at the size it was trained at, in the engine that "auto"
takes. Prints parameters, megabytes of float32 weights, features per image, processor time per image (of all cores
together, which other work on the machine hardly moves) and images per second; both are those of the better of two
passes, so that compilation does not count.

    python benchmarks/backbones.py [--names MobileNetV2 ...] [--images 64]
"""

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import record

import kertl

NAMES = (
    "MobileNetV3Small",
    "MobileNetV3Large",
    "MobileNetV2",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "EfficientNetV2S",
    "NASNetMobile",
    "DenseNet121",
    "ResNet50V2",
    "ResNet50",
    "ConvNeXtTiny",
    "Xception",
    "VGG16",
)


def measure(name, count):
    """The row of a network."""
    keras.utils.set_random_seed(0)
    backbone = kertl.load_backbone(name, weights=None)
    images = np.random.default_rng(0).integers(0, 256, (count, *backbone.input_shape[1:]), dtype="uint8")
    seconds, processor = [], []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            start, busy = time.perf_counter(), time.process_time()
            kertl.extract(backbone, images, at="deep", cache_dir=folder, verbose=False)
            seconds.append(time.perf_counter() - start)
            processor.append(time.process_time() - busy)
    parameters = backbone.count_params()
    return {
        "backbone": name,
        "pixels": backbone.input_shape[1],
        "parameters": f"{parameters / 1e6:.1f} M",
        "weights": f"{parameters * 4 / 1e6:.0f} MB",
        "features": backbone.output_shape[-1],
        "CPU ms per image": f"{1000 * min(processor) / count:.0f}",
        "images per second": f"{count / min(seconds):.0f}",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", nargs="+", default=NAMES)
    parser.add_argument("--images", type=int, default=64)
    options = parser.parse_args()
    rows = []
    for name in options.names:
        rows.append(measure(name, options.images))
        if len(rows) == 1:
            print(f"| {' | '.join(rows[0])} |\n|{'---|' * len(rows[0])}")
        print(f"| {' | '.join(map(str, rows[-1].values()))} |", flush=True)
    record.keep("backbones", rows, packages=("keras", "tensorflow", "openvino"))


if __name__ == "__main__":
    main()

"""What a process of its own extracts into a folder, for tests that kill it; it says when it begins."""

import sys

import numpy as np

import kertl
from kertl.features import _job
from tests.families import small_classifier


def model():
    import keras

    keras.utils.set_random_seed(0)
    return small_classifier()


def data(count=3200):
    return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype="uint8")


def extract(folder, **options):
    return kertl.extract(model(), data(), at="mid", engine="keras", cache_dir=folder, **options)


if __name__ == "__main__":
    _job._SHARD_BYTES = 3 * 32 * 8 * 8 * 16 * 4  # a shard every three batches
    views = int(sys.argv[2])
    print("go", flush=True)
    extract(sys.argv[1], augment="strong" if views else "none", views=views)
    print("done", flush=True)

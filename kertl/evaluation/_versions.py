"""Augmented versions of images that are predicted on."""

from typing import Any

import keras
import numpy as np

from kertl.callbacks import EpochSeeds
from kertl.data import ImageDataset
from kertl.data import augment as augmentation


class Variation:
    """Augments batches; version number k of one is a function of (seed, k)."""

    def __init__(self, shape: tuple[int, int, int], augmented: Any, seed: int) -> None:
        self._layers = keras.Sequential([keras.Input(shape), *augmentation.layers(augmented)])
        self._seeds = EpochSeeds(seed, [self._layers])

    def __call__(self, images: np.ndarray, number: int) -> np.ndarray:
        self._seeds.on_epoch_begin(number)
        return np.asarray(keras.ops.convert_to_numpy(self._layers(images.astype(np.float32), training=True)))


class Varied(keras.utils.PyDataset):
    """One augmented version of the images of a dataset; batch i is a function of (seed, version, i)."""

    def __init__(self, dataset: ImageDataset, augmented: Any, seed: int, version: int) -> None:
        super().__init__()
        self._dataset, self._first = dataset, version * len(dataset)
        self._vary = Variation(dataset.reader.shape, augmented, seed)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple[Any]:
        return (self._vary(self._dataset.batch(0, index)[0], self._first + index),)

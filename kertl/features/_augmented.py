"""Augmented versions of images, drawn as a function of seed, version and the images of the batch."""

import hashlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kertl.data import augment
from kertl.features._keys import layer_settings


class Augmenter:
    """Varies batches of one shape with the layers of a strength or a list of transformations.

    Args:
        strength: As in `kertl.data.augment.layers`.
        seed: Seed of all draws.
        shape: Shape of every batch.
    """

    def __init__(self, strength: str | Sequence[Any], seed: int, shape: tuple[int, ...]) -> None:
        self._layers = augment.layers(strength, shape[-1])
        self._seed = seed
        self.settings = [layer_settings(layer) for layer in self._layers]
        self._states = augment.seed_states(self._layers)
        self._vary = self._forward
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            signature = [tf.TensorSpec(shape, "float32")]
            self._vary = tf.function(self._forward, input_signature=signature, jit_compile=False)

    def __call__(self, batch: np.ndarray, view: int, digests: np.ndarray) -> np.ndarray:
        """Version `view` of a batch, as float32 of 0..255.

        Args:
            batch: The images, of the shape given.
            view: Which version.
            digests: Digests that identify the images of the batch.
        """
        drawn = hashlib.sha256(f"{self._seed} {view} ".encode() + digests.tobytes()).digest()
        random = np.random.default_rng(np.frombuffer(drawn, np.uint32))
        for state in self._states:
            state.assign(np.array([random.integers(2**31), 0]))
        return np.asarray(keras.ops.convert_to_numpy(self._vary(batch.astype(np.float32))))

    def _forward(self, images: Any) -> Any:
        for layer in self._layers:
            images = layer(images, training=True)
        return images

"""Pictures whose class depends on how they are resized, and a model that tells them apart when they are padded."""

import keras
import numpy as np
from PIL import Image

import kertl

SIDE = 16
NAMES = ["tall", "wide"]


def files(folder, per_class=6):
    """Grey pictures that fill the square when stretched: only padding shows which are tall and which are wide."""
    for name, size in (("tall", (SIDE, 2 * SIDE)), ("wide", (2 * SIDE, SIDE))):
        (folder / name).mkdir(parents=True)
        for number in range(per_class):
            Image.new("RGB", size, (150 + number,) * 3).save(folder / name / f"{number}.png")
    return folder


def by_padding(**options):
    """A model without chance: bright corners of the upper edge mean "wide" pictures, where they are padded black."""
    inputs = keras.Input((SIDE, SIDE, 3))
    left = keras.layers.Cropping2D(((SIDE // 2 - 1, SIDE // 2 - 1), (0, SIDE - 2)))(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(left)
    dense = keras.layers.Dense(2, activation="softmax", name="predictions")
    model = keras.Model(inputs, dense(pooled), name="by_padding")
    dense.set_weights([np.array([[-0.05, 0.05]] * 3), np.array([7.5, -7.5])])
    info = kertl.model.ModelInfo("single_label", tuple(NAMES), "none", "1", **options)
    return kertl.model.set_model_info(model, info)

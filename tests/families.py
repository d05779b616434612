"""One small member of each family of the Applications, and small models that stress the graph code."""

import keras
import numpy as np

from tests.marks import some_of

# name -> side of the smallest picture that still leaves a feature map of a few pixels
FAMILIES = {
    "ConvNeXtTiny": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "InceptionV3": 107,
    "InceptionResNetV2": 107,
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Small": 64,
    "NASNetMobile": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "VGG16": 64,
    "Xception": 96,
}
# Those of the Applications that need another side than 64, which all others do.
SIDES = {name: side for name, side in FAMILIES.items() if side != 64}

# Two families stand for all of them in `make test`, and five in `make promises`; `make test-all` has them all.
PROMISED = ("MobileNetV2", "VGG16", "ResNet50", "EfficientNetB0", "NASNetMobile")
EACH_FAMILY = some_of(FAMILIES, "MobileNetV2", "VGG16", late=FAMILIES.keys() - PROMISED)


def application(name, side, **options):
    constructor = getattr(keras.applications, name)
    return constructor(weights=None, include_top=False, input_shape=(side, side, 3), **options)


def small_backbone(side=32):
    """A residual network with BatchNorm, dropout and a strided block, in a few thousand weights."""
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="stem_conv")(x)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    for number, (filters, strides) in enumerate([(8, 1), (16, 2), (16, 1), (24, 2)], start=1):
        shortcut = x
        x = keras.layers.Conv2D(filters, 3, strides=strides, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_bn")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
        x = keras.layers.Dropout(0.2, name=f"block{number}_drop")(x)
        if shortcut.shape == x.shape:
            x = keras.layers.Add(name=f"block{number}_add")([shortcut, x])
    return keras.Model(inputs, x, name="small")


def plain_backbone(side=32):
    """A residual network with BatchNorm and without Dropout."""
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", name="stem")(x)
    for number in (1, 2, 3):
        shortcut = x
        x = keras.layers.Conv2D(8, number % 2 * 2 + 1, padding="same", name=f"block{number}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{number}_bn")(x)
        x = keras.layers.ReLU(name=f"block{number}_relu")(x)
        x = keras.layers.Add(name=f"block{number}_add")([shortcut, x])
    return keras.Model(inputs, x, name="plain")


def tiny_backbone(side=32):
    """A residual network of two blocks with BatchNorm and dropout: half the layers of the small one to trace."""
    inputs = keras.Input((side, side, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescaling")(inputs)
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="stem_conv")(x)
    shortcut = x
    x = keras.layers.Conv2D(8, 3, padding="same", name="block1_conv")(x)
    x = keras.layers.BatchNormalization(name="block1_bn")(x)
    x = keras.layers.Dropout(0.2, name="block1_drop")(x)
    x = keras.layers.Add(name="block1_add")([shortcut, x])
    x = keras.layers.Conv2D(16, 3, strides=4, padding="same", activation="relu", name="block2_conv")(x)
    x = keras.layers.BatchNormalization(name="block2_bn")(x)
    x = keras.layers.Dropout(0.2, name="block2_drop")(x)
    return keras.Model(inputs, x, name="tiny")


def small_classifier(side=32, classes=3, backbone=small_backbone):
    """A head on the nested small backbone, or on another."""
    backbone = backbone(side)
    inputs = keras.Input((side, side, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone(inputs))
    x = keras.layers.Dropout(0.2, name="head_dropout")(x)
    x = keras.layers.Dense(8, name="head_dense")(x)
    x = keras.layers.BatchNormalization(name="head_bn")(x)
    x = keras.layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name="classifier")


@keras.saving.register_keras_serializable(package="tests")
class Silent(keras.layers.Layer):
    """A layer that does not tell its settings."""

    def __init__(self, factor):
        super().__init__(name="silent")
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        raise NotImplementedError


def lively(model, x):
    """The model with BatchNorm statistics of `x`, without which random weights give the same for every picture."""
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    model(x, training=True)
    for layer, momentum in zip(norms, before, strict=True):
        layer.momentum = momentum
    first, second = keras.ops.convert_to_numpy(model(x))[:2]
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()
    return model

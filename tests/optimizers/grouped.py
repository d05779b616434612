"""Small things to optimise: variables with gradients, and a model of four groups in a few hundred weights."""

import keras
import numpy as np


def array(value):
    return np.array(keras.ops.convert_to_numpy(value))


def variables(count=3, shape=(2, 3), seed=0):
    random = np.random.default_rng(seed)
    return [keras.Variable(random.normal(size=shape).astype("float32"), name=f"v{k}") for k in range(count)]


def gradients(of, seed=1):
    random = np.random.default_rng(seed)
    return [keras.ops.convert_to_tensor(random.normal(size=v.shape).astype("float32")) for v in of]


def slots(optimizer, place):
    """The moments of one variable, by name of the list that holds them."""
    lists = {name: value for name, value in vars(optimizer).items() if isinstance(value, list) and len(value) > place}
    return {
        name: array(value[place])
        for name, value in lists.items()
        if isinstance(value[place], keras.Variable) and name not in ("_variables", "_trainable_variables")
    }


def model(seed=0):
    """Groups block1, block2, block3 and head; BatchNorm in the blocks, which are nested."""
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input((4, 4, 3))
    for k in (1, 2, 3):
        x = keras.layers.Conv2D(4, 1, name=f"block{k}_conv")(x)
        x = keras.layers.BatchNormalization(name=f"block{k}_bn")(x)
        x = keras.layers.ReLU(name=f"block{k}_relu")(x)
    backbone = keras.Model(inputs, x, name="backbone")
    inputs = keras.Input((4, 4, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pooling")(backbone(inputs))
    return keras.Model(inputs, keras.layers.Dense(2, name="predictions")(x), name="classifier")


def examples(count=8):
    random = np.random.default_rng(7)
    return random.normal(size=(count, 4, 4, 3)).astype("float32"), random.normal(size=(count, 2)).astype("float32")

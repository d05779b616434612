"""Two small domains: the first feature tells the classes apart, the second the domains."""

import keras
import numpy as np

from kertl.recipe import Stage
from kertl.training import Learner, entropy_loss, train_on_domains, train_on_entropy
from tests.adaptation.domains import dimmed, pictures


def verdict(distance):
    """Whether the second feature is used less for the distance, the first is still used, and what the model has."""
    (used, unused, *found), (first, second, *_) = (trained(distance, weight) for weight in (1.0, 0.0))
    return bool(unused < 0.8 * second), bool(used > 0.5 * first), *found


def trained(distance, weight):
    """How much each feature is used by the predictions, the layers of the model, and its trainable variables."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    a, b = (
        np.stack([2.0 * labels - 1 + random.normal(0, 0.3, 120), second], 1).astype("float32")
        for second in (random.normal(0, 0.3, 120), random.normal(2, 2, 120))
    )
    projection = keras.layers.Dense(4, use_bias=False)
    model = keras.Sequential([keras.Input((2,)), projection, keras.layers.Dense(2, activation="softmax")])
    stage = Stage("full", epochs=15, learning_rate=0.02, augment="none", label_smoothing=0.0, batch_size=32)
    train_on_domains(Learner.of(model, "single_label"), stage, a, labels, b, distance=distance, weight=weight)
    features = np.linalg.norm(projection.get_weights()[0], axis=1)
    return *features, len(model.layers), len(model.trainable_variables)


def surer():
    """Whether training on entropy makes the predictions of a small network surer, and which variables it moves."""
    keras.utils.set_random_seed(0)
    layers = [keras.Input((32, 32, 3)), keras.layers.BatchNormalization(), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    images = dimmed().train.in_order()
    x = pictures(images).astype("float32")
    model.layers[0].moving_mean.assign(x.mean(axis=(0, 1, 2)))
    model.layers[0].moving_variance.assign(x.var(axis=(0, 1, 2)))

    def entropy():
        return float(np.mean(entropy_loss(None, model.predict(x, verbose=0))))

    sure, before = entropy(), [np.array(value) for value in model.get_weights()]
    train_on_entropy(Learner.of(model, "single_label"), images)
    moved = [
        variable.name
        for variable, old, new in zip(model.weights, before, model.get_weights(), strict=True)
        if not np.array_equal(old, new)
    ]
    return entropy() < sure, sorted(moved)

"""The trainings of `diagnosis.py`: for each cause a way to make a real training go wrong, on twelve data sets.

Small networks on pixels, table values or extracted features. What is recorded is what `fit` gives anybody, and where
the cause wants it `inference_loss` and `gradient_norm/<layer>`, as `kertl.diagnosis` names them. A data set belongs to
one half: rules are set on the one and judged on the other.
"""

import dataclasses
import functools
import os
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "jax")  # a third of the time for trainings as small as these

import cells
import keras
import numpy as np
import suite_data
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

import kertl

TRAITS = {
    "digits": ((0, 6, 8, 9), (2, 3, 5, 7), (0, 2, 4, 6, 8)),
    "fashion": ((5, 7, 9), (0, 2, 4, 6), (1, 3)),
    "scripts": ((0, 4, 7), (1, 2, 5, 6, 8), (9, 10, 11, 16)),
}
BRAHMIC = (1, 2, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16)


@dataclasses.dataclass(frozen=True)
class Set:
    """A data set: values in units of their standard deviations, labels, task, and classes or outputs."""

    x: np.ndarray
    y: np.ndarray
    task: str
    outputs: int


def _scaled(x: np.ndarray) -> np.ndarray:
    x = x.reshape(len(x), -1).astype("float32")
    return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)


def _traits(name: str, y: np.ndarray) -> np.ndarray:
    return np.stack([np.isin(y, members) for members in TRAITS[name]], axis=1).astype("float32")


def _pool(data: kertl.data.ImageData, values: Callable[[kertl.data.ImageDataset], np.ndarray]):
    parts = [data.train, data.validation, data.test]
    x = np.concatenate([values(part) for part in parts])
    return _scaled(x), np.concatenate([part.labels for part in parts])


@functools.cache
def _pictures(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of a set of the suite, 16 pixels wide."""
    data = suite_data.load(name, size=32)
    return _pool(data, lambda part: part.reader.take(np.arange(part.num_examples))[:, ::2, ::2, 0])


@functools.cache
def _cells() -> tuple[np.ndarray, np.ndarray]:
    data = cells.data(0, 96)
    model = cells.model(data.class_names, 0, 96)
    return _pool(data, lambda part: np.asarray(kertl.extract(model, part, at="deep").values))


@functools.cache
def load(name: str) -> Set:
    """A data set by name."""
    if name == "digits":
        x, y = load_digits(return_X_y=True)
        return Set(_scaled(x), y, "single_label", 10)
    if name == "digit traits":
        x, y = load_digits(return_X_y=True)
        return Set(_scaled(x), _traits("digits", y), "multi_label", 3)
    if name == "tumours":
        x, y = load_breast_cancer(return_X_y=True)
        return Set(_scaled(x), y[:, None].astype("float32"), "binary", 1)
    if name == "diabetes":
        x, y = load_diabetes(return_X_y=True)
        return Set(_scaled(x), ((y - y.mean()) / y.std())[:, None].astype("float32"), "regression", 1)
    if name in ("fashion", "scripts"):
        x, y = _pictures(name)
        return Set(x, y, "single_label", len(np.unique(y)))
    if name in ("fashion traits", "script traits"):
        of = "fashion" if name == "fashion traits" else "scripts"
        x, y = _pictures(of)
        return Set(x, _traits(of, y), "multi_label", 3)
    if name == "brahmic":
        x, y = _pictures("scripts")
        return Set(x, np.isin(y, BRAHMIC)[:, None].astype("float32"), "binary", 1)
    if name == "cells":
        x, y = _cells()
        return Set(x, y[:, None].astype("float32"), "binary", 1)
    # From the left half of a picture: how much ink it has, or how high its centre is, by rank.
    x, _ = _pictures("fashion" if name == "ink" else "scripts")
    rows = x.reshape(len(x), 16, 16)
    values = rows.mean(axis=(1, 2)) if name == "ink" else (rows.mean(axis=2) * np.arange(16)).mean(axis=1)
    ranks = values.argsort().argsort() / len(values)
    return Set(rows[:, :, :8].reshape(len(x), -1), _scaled(ranks[:, None]), "regression", 1)


HALVES = {
    "set": ("digits", "digit traits", "tumours", "diabetes", "fashion", "fashion traits", "cells", "ink"),
    "judged": ("scripts", "script traits", "brahmic", "height"),
}


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a network is made and trained; the defaults make a healthy training of every data set."""

    epochs: int = 30
    rate: float = 2e-3
    schedule: str = "warmup_cosine"
    optimizer: str = "adam"
    units: int = 48
    layers: int = 1
    activation: str = "relu"
    dropout: float = 0.3
    batch_norm: float | None = None
    l2: float = 0.0
    train: int = 640
    validation: int = 250
    noise: float = 0.0
    leak: bool = False
    rare: float | None = None
    patience: int | None = None
    measured: bool = False
    gradients: bool = False
    scale: float = 1.0
    then: "Plan | None" = None


def network(data: Set, plan: Plan) -> keras.Model:
    """The network of a plan."""
    x = inputs = keras.Input(data.x.shape[1:])
    for _ in range(plan.layers):
        penalty = keras.regularizers.L2(plan.l2) if plan.l2 else None
        x = keras.layers.Dense(plan.units, plan.activation, kernel_regularizer=penalty)(x)
        if plan.batch_norm is not None:
            x = keras.layers.BatchNormalization(momentum=plan.batch_norm)(x)
        if plan.dropout:
            x = keras.layers.Dropout(plan.dropout)(x)
    last = {"single_label": "softmax", "regression": "linear"}.get(data.task, "sigmoid")
    return keras.Model(inputs, keras.layers.Dense(data.outputs, last)(x))


def _compile(model: keras.Model, data: Set, plan: Plan, steps: int) -> None:
    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[plan.optimizer]
    if plan.schedule == "cut":
        rate = keras.optimizers.schedules.PiecewiseConstantDecay([steps * 3], [plan.rate, plan.rate / 100])
    else:
        rate = kertl.schedules.schedule_named(plan.schedule, plan.rate, steps * plan.epochs)
    loss, metric = {
        "single_label": ("sparse_categorical_crossentropy", "accuracy"),
        "regression": ("mse", "mae"),
    }.get(data.task, ("binary_crossentropy", keras.metrics.BinaryAccuracy("accuracy")))
    model.compile(kind(rate), loss, metrics=[metric])


def _parts(data: Set, plan: Plan, random: np.random.Generator) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Images for training, validation and the test, with what the plan does to them."""
    order = random.permutation(len(data.x))
    x, y = plan.scale * data.x[order], data.y[order].copy()
    if plan.noise:
        wrong = random.random(len(y)) < plan.noise
        y[wrong] = random.permutation(y)[wrong]
    if plan.rare is not None and data.task != "regression":
        first = (y if y.ndim == 1 else y[:, 0]) == 0
        kept = first | (random.random(len(y)) < plan.rare)
        x, y = x[kept], y[kept]
    held, tested = min(plan.validation, len(x) // 4), min(250, len(x) // 4)
    validation, test = (x[:held], y[:held]), (x[held:][:tested], y[held:][:tested])
    train = x[held + tested :][: plan.train], y[held + tested :][: plan.train]
    if plan.leak:
        copies = validation[0] + 0.01 * random.standard_normal(validation[0].shape).astype("float32")
        train = (np.concatenate([train[0], copies]), np.concatenate([train[1], validation[1]]))
    return train, validation, test


class _Measured(keras.callbacks.Callback):
    """Adds what is measured on some training images to the history."""

    def __init__(self, images: tuple[np.ndarray, np.ndarray], gradients: bool) -> None:
        super().__init__()
        self._images, self._gradients = images, gradients

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {} if logs is None else logs
        if not self._gradients:
            found = self.model.evaluate(*self._images, verbose=0, return_dict=True, batch_size=256)
            logs.update({f"inference_{name}": value for name, value in found.items()})
            return
        logs.update(_gradient_norms(self.model, *self._images))


def _gradient_norms(model: keras.Model, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """The norm of the loss's gradient for each Dense layer's weights, from the input to the head."""
    import jax

    fixed = [variable.value for variable in model.non_trainable_variables]

    def loss(trained: list[jax.Array]) -> jax.Array:
        predictions, _ = model.stateless_call(trained, fixed, x, training=True)
        return model.compute_loss(y=y, y_pred=predictions)

    found = jax.grad(loss)([variable.value for variable in model.trainable_variables])
    pairs = zip(model.trainable_variables, found, strict=True)
    return {
        f"gradient_norm/{variable.path.split('/')[0]}": float(np.linalg.norm(value))
        for variable, value in pairs
        if variable.path.endswith("kernel")
    }


def run(name: str, plan: Plan, seed: int) -> dict[str, object]:
    """Train by a plan; the history, and what one would know besides."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    data = load(name)
    train, validation, test = _parts(data, plan, np.random.default_rng(seed))
    model = network(data, plan)
    history: dict[str, list[float]] = {}
    stage, current = 0, plan
    while current is not None:
        _compile(model, data, current, -(-len(train[0]) // 32))
        callbacks: list[keras.callbacks.Callback] = [_Rate()]
        if current.measured or current.gradients:
            callbacks.append(_Measured((train[0][:256], train[1][:256]), current.gradients))
        if current.patience:
            callbacks.append(keras.callbacks.EarlyStopping(patience=current.patience, restore_best_weights=True))
        fitted = model.fit(
            *train, batch_size=32, epochs=current.epochs, validation_data=validation, callbacks=callbacks, verbose=0
        )
        found = fitted.history
        if plan.then is not None:
            found = {"stage": [stage] * len(found["loss"]), **found}
        for column, values in found.items():
            history.setdefault(column, []).extend(values)
        stage, current = stage + 1, current.then
    if history["loss"][-1] != history["loss"][-1]:
        history = {column: values[: _first_nan(history["loss"]) + 1] for column, values in history.items()}
    return {"known": _known(model, data, validation, test), "history": history}


def _known(model: keras.Model, data: Set, validation, test) -> dict[str, object]:
    """What a run knows besides its curves, as `kertl.diagnosis.Known` names it."""
    score = "error" if data.task == "regression" else "accuracy"
    known: dict[str, object] = {"task": data.task, "validation_images": len(validation[0]), "test_images": len(test[0])}
    for part, images in (("validation", validation), ("test", test)):
        found = model.evaluate(*images, verbose=0, return_dict=True, batch_size=256)
        value = found["mae" if data.task == "regression" else "accuracy"]
        known[f"{part}_{score}"] = round(value, 4) if np.isfinite(value) else None
    if data.task in ("single_label", "binary"):
        shares = np.unique(validation[1], return_counts=True)[1] / len(validation[1])
        known.update(classes=max(2, data.outputs), majority=round(float(shares.max()), 4))
        known["recalls"] = _recalls(model, *validation)
    if data.task == "regression":
        known["baseline"] = 1.0  # targets in units of their standard deviation
    return known


def _recalls(model: keras.Model, x: np.ndarray, y: np.ndarray) -> list[float]:
    """For each class that has images the share of them that is found."""
    predictions, y = np.asarray(model.predict(x, verbose=0)), y.reshape(-1).astype(int)
    found = predictions.argmax(axis=1) if predictions.shape[1] > 1 else (predictions[:, 0] > 0.5).astype(int)
    return [round(float((found[y == one] == one).mean()), 4) for one in np.unique(y)]


def _first_nan(values: list[float]) -> int:
    return next(place for place, value in enumerate(values) if value != value)


class _Rate(keras.callbacks.Callback):
    """Records the rate, as kertl's runs and Keras' own callbacks that set it do."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))

"""`lr_range_test`: the learning-rate range test of a model on data."""

from typing import Any

import keras

from kertl._checks import LARGEST_SEED, complain, integer
from kertl._keras import functional_inside
from kertl.backbones import refuse_nan
from kertl.callbacks import EpochSeeds
from kertl.data import ImageData, ImageDataset, data_errors
from kertl.groups import functional_of
from kertl.hardware import scope_of
from kertl.model import refuse_other_pictures, target_spreads, task_of
from kertl.optimizers import optimizer_named
from kertl.range_test._batches import batches_for
from kertl.range_test._borrowed import Borrowed
from kertl.range_test._ramp import Ramp, Standstill
from kertl.range_test._result import RangeTest
from kertl.recipe import Stage
from kertl.tasks import task_named
from kertl.training import compile_with, loss_of


def lr_range_test(
    model: keras.Model,
    data: Any,
    *,
    repeats: int = 1,
    seed: int = 0,
    batch_size: int = 32,
    class_weight: dict[int, float] | None = None,
    **ramp: Any,
) -> RangeTest:
    """Train for some steps at ever higher learning rates, record the losses, and restore the model.

    A compiled model is tested with its own loss, optimizer and training step; one that is not compiled, with the loss
    of its task, as in a stage of `kertl.fine_tune`, and AdamW. Its `trainable` flags decide what trains;
    `kertl.stage_model(model, at)` is the model of a stage. Everything is restored as `kertl.LRRangeTest` does, even
    after an exception or Ctrl-C. Data of kertl, arrays and any `PyDataset` are not changed either.

    Each run is made twice, the second time without learning: with two classes in batches of 32 the loss depends mostly
    on the batch, and its fall only shows in comparison with the losses of the same batches, with the same dropout,
    without learning. (Not for a `tf.data.Dataset`, which may give other batches the second time.)

    Args:
        model: The model; built.
        data: An `ImageData`, whose training set is used, or one of its parts; a finite `keras.utils.PyDataset` or
            `tf.data.Dataset` of batches; or arrays `(x, y)` or `(x, y, weights)`. If it has fewer batches than the test
            has steps, it is used again.
        repeats: How often the test is run, each time with another order of the data (except for a `tf.data.Dataset`,
            which has its own) and other seeds of dropout; >= 1.
        seed: Seed of both; 0 <= seed <= 4,000,000,000. kertl's data has its own seed for the order.
        batch_size: Examples per batch of arrays; >= 1.
        class_weight: Weight of each class in the loss, as in `fit`.
        **ramp: `start`, `end`, `steps`, `ramp`, `smoothing` and `divergence` of `kertl.LRRangeTest`.

    Returns:
        Rates, losses, suggestions and their range, and `plot`.

    Raises:
        TypeError: If the model is neither compiled nor a functional or sequential model that has been built.
        ValueError: If an argument is outside the range given above, the model's task is not known, or it does not take
            the images.
        WeightsError: If a weight of the model is NaN or infinite.
        DataError: If an image of the data can no longer be read.

    Example:
        >>> import keras, kertl, numpy as np
        >>> x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
        >>> model.compile("adam", "mse")
        >>> test = kertl.lr_range_test(model, (x, x.sum(1)))
        >>> bool(1e-3 < test.suggestion < 1)
        True
        >>> kertl.lr_range_test(model, (x, x.sum(1)), start=1e-9, end=1e-7).suggestion is None  # too low
        True

    Reference:
        Smith, "Cyclical Learning Rates for Training Neural Networks", 2017. https://arxiv.org/abs/1506.01186
    """
    data = data.train if isinstance(data, ImageData) else data
    integer("repeats", repeats, at_least=1)
    integer("seed", seed, at_least=0, at_most=LARGEST_SEED)
    integer("batch_size", batch_size, at_least=1)
    steps = Ramp(**ramp).steps
    if not isinstance(class_weight, dict | None):
        raise complain("class_weight", "a dictionary of weights by class id", class_weight)
    _refuse_misfits(model, data)
    refuse_nan(model)
    runs = []
    with scope_of(model), data_errors(data if isinstance(data, ImageDataset) else None):
        trained = model if model.compiled else _compiled(model)
        borrowed = Borrowed(trained)
        try:
            for number in range(repeats):
                batches = batches_for(data, steps, batch_size=batch_size, seed=seed, run=number)
                ramped, standing = Ramp(**ramp), Standstill(**ramp)
                # Only a PyDataset gives the same batches a second time.
                for callback in [ramped, standing] if isinstance(batches, keras.utils.PyDataset) else [ramped]:
                    callback.rates = borrowed.rates
                    trained.fit(
                        batches,
                        steps_per_epoch=ramped.seen or steps,
                        class_weight=class_weight,
                        shuffle=False,
                        callbacks=[EpochSeeds(seed + number), callback],
                        verbose=0,
                    )
                    borrowed.reset()
                runs.append(ramped.curve(standing))
        finally:
            borrowed.give_back()
    return RangeTest(runs)


def _refuse_misfits(model: keras.Model, data: Any) -> None:
    """Raise if a model cannot be tested on images of kertl, unless its graph is not known but it is compiled."""
    if not isinstance(model, keras.Model) or not model.compiled:
        functional_of(model)
    if isinstance(data, ImageDataset) and functional_inside(model) is not None:
        functional_of(model, pictures=True)
        refuse_other_pictures(model.name, model.input_shape[1:], data)


def _compiled(model: keras.Model) -> keras.Model:
    """Another model of the same layers, compiled as in a stage; `model` itself stays uncompiled."""
    stage, task = Stage("full"), task_named(task_of(model))
    trained = keras.Model(model.inputs, model.outputs, name=model.name)
    rate, variables = stage.learning_rate, trained.trainable_variables
    optimizer = optimizer_named(stage.optimizer, rate, variables, weight_decay=stage.weight_decay)
    compile_with(trained, optimizer, loss_of(task, stage, target_spreads(model)))
    return trained

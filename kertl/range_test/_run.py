"""`lr_range_test`: the learning-rate range test of a model on data."""

from typing import Any

import keras

from kertl._checks import complain, integer
from kertl.callbacks import EpochSeeds
from kertl.data import ImageDataset, data_errors
from kertl.hardware import scope_of
from kertl.model import target_spreads, task_of
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
    """Train for some steps at ever higher learning rates, look at the losses, and give the model back as it was.

    A compiled model is tested with its own loss, optimizer and training step; one that is not compiled with the loss of
    its task, as in a stage of `kertl.fine_tune`, and AdamW. What its `trainable` flags say trains;
    `kertl.stage_model(model, at)` is the model of a stage. Everything is given back as `kertl.LRRangeTest` does, also
    after an exception or Ctrl-C. Data of kertl, arrays and any `PyDataset` stay as they are too.

    Each run is made twice, the second time without learning: two classes in batches of 32 are mostly the luck of the
    batch, and a fall of the loss stands out only against what the same batches, with the same dropout, lose without it.
    (Not of a `tf.data.Dataset`, which may give other batches the second time.)

    Args:
        model: The model; built.
        data: `data.train`, a finite `keras.utils.PyDataset` or `tf.data.Dataset` of batches, or arrays `(x, y)` or
            `(x, y, weights)`. Where it has fewer batches than the test has steps, it is gone through again.
        repeats: How often the test is run, each time with another order of the data (but for a `tf.data.Dataset`, which
            has its own) and other seeds of dropout; >= 1.
        seed: Of both; >= 0. kertl's data has a seed of its own for the order.
        batch_size: Examples per batch of arrays; >= 1.
        class_weight: Weight of each class in the loss, as in `fit`.
        **ramp: `start`, `end`, `steps`, `ramp`, `smoothing` and `divergence` of `kertl.LRRangeTest`.

    Returns:
        Rates, losses, suggestions and their spread, and `plot`.

    Raises:
        ValueError: If an argument is outside the range given above, or the model's task cannot be told.
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
    integer("repeats", repeats, at_least=1)
    integer("seed", seed, at_least=0)
    integer("batch_size", batch_size, at_least=1)
    steps = Ramp(**ramp).steps
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


def _compiled(model: keras.Model) -> keras.Model:
    """Another model of the same layers, compiled as a stage is; `model` itself stays without compilation."""
    if not isinstance(getattr(model, "outputs", None), list):
        raise complain("model", "compiled, or a functional model", model.name)
    stage, task = Stage("full"), task_named(task_of(model))
    trained = keras.Model(model.inputs, model.outputs, name=model.name)
    rate, variables = stage.learning_rate, trained.trainable_variables
    optimizer = optimizer_named(stage.optimizer, rate, variables, weight_decay=stage.weight_decay)
    compile_with(trained, optimizer, loss_of(task, stage, target_spreads(model)))
    return trained

"""The range test on another backend and under a distribution strategy, each in a process of its own."""

import pytest

from tests.runs import python

EVERYTHING = """
import os, sys
jax = os.environ["KERAS_BACKEND"] == "jax"
if jax:
    sys.modules["tensorflow"] = None
else:
    import tensorflow as tf
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import contextlib, keras, numpy as np, kertl
from tests.range_test.models import assert_same, compiled, examples, state, trained
from tests.runs import values

def scope():
    if jax:
        return contextlib.nullcontext()
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope()

class Stop(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 7:
            raise KeyboardInterrupt

QUICK = {"steps": 30, "start": 1e-5, "end": 30.0}
with scope():
    model, twin = (trained(keras.optimizers.Adam(kertl.schedules.OneCycle(0.1, 50))) for _ in range(2))
before = state(model)
test = kertl.lr_range_test(model, examples(), batch_size=16, repeats=2, **QUICK)
assert_same(model, before)
assert 10 < len(test.losses) and test.raw_losses[-1] > test.raw_losses[0], test.raw_losses
run = test.runs[0]
assert np.abs(run.raw_losses - run.standing)[:3].max() < 1e-3 < np.abs(run.raw_losses - run.standing)[-1]

if jax:
    callback = kertl.LRRangeTest(**QUICK)
    model.fit(*examples(), batch_size=16, epochs=6, callbacks=[callback], verbose=0)
    before["objects"] = state(model)["objects"]
    assert_same(model, before)
    try:
        model.fit(*examples(), batch_size=16, epochs=6, callbacks=[callback, Stop()], verbose=0)
    except KeyboardInterrupt:
        callback.restore()
    before["objects"] = state(model)["objects"]
    assert_same(model, before)

for one in (model, twin):
    keras.utils.set_random_seed(1)
    one.fit(*examples(), batch_size=16, shuffle=False, verbose=0)
for a, b in zip(values(model.variables), values(twin.variables)):
    np.testing.assert_array_equal(a, b)

with scope():
    model = compiled(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)), dtype="mixed_float16")
kertl.lr_range_test(model, examples(), **QUICK)
assert values([model.optimizer.learning_rate])[0] == np.float32(0.1)
"""


@pytest.mark.promise
@pytest.mark.slow
def test_on_jax_without_tensorflow_everything_is_given_back():
    python(EVERYTHING, KERAS_BACKEND="jax")


@pytest.mark.slow
def test_under_a_strategy_everything_is_given_back():
    python(EVERYTHING, KERAS_BACKEND="tensorflow")

"""The datasets in `fit` on another backend and under a distribution strategy, each in a process of its own."""

import os
import subprocess
import sys

import pytest

ON_JAX = """
import sys
sys.modules["tensorflow"] = None
import keras, numpy as np, kertl.data
assert keras.backend.backend() == "jax"
data = kertl.data.from_directory(sys.argv[1], image_size=(4, 4), batch_size=4, validation=0.2, test=0)
model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
seen = []
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), run_eagerly=True)
step = model.train_step
def train_step(state, batch):
    seen.append(np.asarray(batch[0][:, 0, 0, 0]))
    return step(state, batch)
model.train_step = train_step
model.fit(data.train, validation_data=data.validation, epochs=2, shuffle=False, verbose=0)
expected = [data.train.batch(epoch, i)[0][:, 0, 0, 0] for epoch in range(2) for i in range(8)]
assert np.array_equal(np.concatenate(seen), np.concatenate(expected))
assert data.train.epoch == 2
"""

MIRRORED = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np, kertl.data
from kertl.callbacks import DataEpoch
data = kertl.data.from_directory(sys.argv[1], image_size=(4, 4), batch_size=4, validation=0.2, test=0)

def weights_after_fit():
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten(),
                              keras.layers.Dense(2, kernel_initializer="zeros")])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.train, validation_data=data.validation, epochs=3, shuffle=False, verbose=0,
              callbacks=[DataEpoch(data.train)])
    return model.get_weights()

alone = weights_after_fit()
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    together = weights_after_fit()
for a, b in zip(alone, together):
    np.testing.assert_allclose(a, b, atol=1e-6)
"""


def run(script, *arguments, backend):
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_fit_on_jax_sees_the_batches_in_order_where_there_is_no_tensorflow(photos):
    run(ON_JAX, photos, backend="jax")


@pytest.mark.slow
def test_two_mirrored_devices_train_like_one(photos):
    run(MIRRORED, photos, backend="tensorflow")

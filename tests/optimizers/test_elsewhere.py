"""Rates by group in a new process, on the JAX backend, and under a distribution strategy."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kertl
from kertl.optimizers import discriminative
from tests.optimizers.grouped import examples, model

ROOT = Path(__file__).parents[2]


def python(*arguments, backend="tensorflow", **environment):
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


GO_ON = """
import sys
import keras, numpy as np, kertl.optimizers
from tests.optimizers.grouped import examples

@keras.saving.register_keras_serializable("theirs")
class Theirs(keras.optimizers.SGD):
    pass

for path in sys.argv[1:]:
    if "theirs" in path:
        kertl.optimizers.discriminative_class(Theirs)
    model = keras.saving.load_model(path)
    for _ in range(2):
        model.train_on_batch(*examples())
    np.savez(path + ".npz", *model.get_weights())
"""


KINDS = ("adamw", "theirs", "mixed_float16")


@keras.saving.register_keras_serializable("theirs")
class Theirs(keras.optimizers.SGD):
    pass


@pytest.fixture(scope="module")
def went_on(tmp_path_factory):
    """Models that train here and, from a file, in another process: name -> (those weights, these)."""
    folder, here = tmp_path_factory.mktemp("saved"), {}
    for name in KINDS:
        trained = model()
        kertl.freeze(trained, "block2")
        kind = {"theirs": Theirs(momentum=0.5), "mixed_float16": "adam"}.get(name, name)
        schedule = kertl.schedules.OneCycle(0.05, 6)
        optimizer = discriminative(kind, trained, peak=schedule, rates=(0.005, 0.05), weight_decay=0.1)
        if name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        trained.compile(optimizer, "mse")
        for _ in range(2):
            trained.train_on_batch(*examples())
        trained.save(folder / f"{name}.keras")
        for _ in range(2):
            trained.train_on_batch(*examples())
        here[name] = trained.get_weights()
    python("-c", GO_ON, *folder.glob("*.keras"))
    return {name: (list(np.load(folder / f"{name}.keras.npz").values()), weights) for name, weights in here.items()}


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_model_saved_with_its_optimizer_goes_on_alike_in_a_new_process(went_on, name):
    for there, here in zip(*went_on[name], strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-5, atol=1e-6)


MIRRORED = """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras, numpy as np, kertl
from kertl.callbacks import GroupRates, MomentumCycle
from kertl.optimizers import discriminative
from tests.optimizers.grouped import examples, model

def after_fit():
    trained = model()
    kertl.freeze(trained, "block3")
    schedule = kertl.schedules.OneCycle(0.05, 4)
    trained.compile(discriminative("adamw", trained, peak=schedule, layer_decay=0.5, weight_decay=0.1), "mse")
    trained.fit(*examples(), batch_size=4, epochs=2, shuffle=False, verbose=0,
                callbacks=[MomentumCycle(schedule), GroupRates()])
    return trained.get_weights()

alone = after_fit()
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    together = after_fit()
for a, b in zip(alone, together):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
"""


@pytest.mark.promise
@pytest.mark.slow
def test_two_mirrored_devices_train_like_one():
    python("-c", MIRRORED)


@pytest.mark.promise
@pytest.mark.slow
def test_all_that_holds_of_the_groups_and_the_callbacks_holds_on_jax():
    files = ("optimizers/test_grouped.py", "callbacks/test_group_rates.py", "callbacks/test_momentum_cycle.py")
    # Keras has no loss scale on JAX outside of `fit`.
    chosen = (
        "(own and (AdamW or Muon or Nadam or SGD)) or follows or out_what or together or average or accumulated "
        "or taken_up or at_its_end or formula"
    )
    python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", chosen, *(f"tests/{f}" for f in files), backend="jax")

"""The batch that fits: a run that ran out of memory goes on by itself, and ends as it would have with enough."""

import json
import signal

import keras
import numpy as np
import pytest

import kertl
from kertl.training._accumulate import in_parts
from tests.families import plain_backbone
from tests.messages import assert_names
from tests.runs import classifier, digest, python, quick, recipe, squares, weights


class Full(keras.callbacks.Callback):
    """Raises as TensorFlow does where memory runs out, when the nth batches through the whole run begin."""

    def __init__(self, *batches, every=False):
        super().__init__()
        self._left, self._count, self._every = set(batches), 0, every

    def on_train_batch_begin(self, batch, logs=None):
        import tensorflow as tf

        self._count += 1
        if self._count in self._left or self._every:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[8,16,16,8]")

    def get_state(self):
        return None


PLAN = recipe(quick("deep"), quick("mid", epochs=2, schedule="cosine", class_weights=True, l2_sp=0.01))


def go(*full, folder=None, plan=PLAN, head=None, callbacks=None, **options):
    return kertl.fine_tune(
        classifier(backbone=plain_backbone, dropout=0.0, **(head or {})),
        squares(),
        recipe=plan,
        run_dir=folder,
        callbacks=[Full(*full)] if callbacks is None else callbacks,
        checkpoint_seconds=0,
        report=False,
        verbose=0,
        **options,
    )


@pytest.fixture(scope="module")
def undisturbed():
    return go()


def test_a_run_that_ran_out_of_memory_twice_ends_as_one_with_enough(undisturbed, tmp_path, caplog):
    """At a step in mid-epoch, with 5 batches before it, and at the 2nd step after that; the last batch is uneven."""
    run = go(6, 8, folder=tmp_path / "run")
    np.testing.assert_allclose(run.history["loss"], undisturbed.history["loss"], rtol=2e-6)
    np.testing.assert_allclose(run.history["val_loss"], undisturbed.history["val_loss"], rtol=2e-6)
    kept = weights(undisturbed.model)
    for path, value in weights(run.model).items():
        np.testing.assert_allclose(value, kept[path], rtol=0, atol=2e-6, err_msg=path)
    choice = json.loads((tmp_path / "run" / "choices.json").read_text())["1"]
    assert choice["part_size"] == 2
    said = [record.getMessage() for record in caplog.records if "more memory" in record.getMessage()]
    assert len(said) == 2
    assert_names(said[0], "Stage 2 (at='mid')", "8 images at once", "with 4 at once", "still of 8 images")
    assert_names(said[0], "2 batches of the next")


@pytest.mark.slow
def test_without_a_directory_it_goes_on_from_memory_and_ends_the_same(tmp_path):
    plan = recipe(quick("mid"))
    assert digest(go(3, plan=plan).model) == digest(go(3, folder=tmp_path / "run", plan=plan).model)


@pytest.mark.slow
@pytest.mark.promise
def test_a_run_in_parts_that_is_killed_resumes_in_parts_and_ends_bit_for_bit(tmp_path):
    class Stop(keras.callbacks.Callback):
        count = 0

        def on_train_batch_end(self, batch, logs=None):
            Stop.count += 1
            if Stop.count == 8:
                signal.raise_signal(signal.SIGINT)

        def get_state(self):
            return None

    whole = go(folder=tmp_path / "whole", callbacks=[Full(6), keras.callbacks.LambdaCallback()])
    with pytest.raises(KeyboardInterrupt):
        go(folder=tmp_path / "run", callbacks=[Full(6), Stop()])
    assert json.loads((tmp_path / "run" / "choices.json").read_text())["1"]["part_size"] == 4
    resumed = go(folder=tmp_path / "run", callbacks=[Full(), Stop()])
    assert digest(resumed.model) == digest(whole.model)


def test_features_are_trained_on_in_parts_too():
    """Where one compiled loop computes a whole epoch."""
    plan = recipe(quick("deep", epochs=2, cache=True), precision="float32")
    run, other = (go(*full, plan=plan) for full in ((), (1,)))
    assert other.history["loss"] == pytest.approx(run.history["loss"], rel=2e-6)


def test_batch_norm_that_trains_is_said_to_see_the_parts_and_is_left_with_eight_images(caplog, tmp_path):
    plan = recipe(quick("deep", epochs=1, batch_size=16))
    run = go(1, head={"batch_norm": True, "hidden_units": (8,)}, plan=plan, folder=tmp_path / "run")
    assert len(run.rows) == 1
    (said,) = [record.getMessage() for record in caplog.records if "more memory" in record.getMessage()]
    assert_names(said, "BatchNorm", "sees 8 images at a time", "gives other results")
    with pytest.raises(kertl.errors.RunError) as caught:
        go(1, head={"batch_norm": True, "hidden_units": (8,)}, plan=recipe(quick("deep")))
    assert_names(caught.value, "Stage 1 (at='deep')", "8 images", "fewer than 8", "`batch_size=4`")


def test_where_no_batch_fits_the_error_says_what_to_try_and_what_there_is_to_go_on_from(tmp_path):
    with pytest.raises(kertl.errors.RunError) as caught:
        go(folder=tmp_path, callbacks=[Full(every=True)], plan=recipe(quick("deep")))
    newest = max(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert_names(caught.value, "Stage 1 (at='deep')", "batches of 8 images", "parts of 1", "`batch_size=4`")
    assert_names(caught.value, "`image_size`", "`run_dir`", repr(newest))


def test_a_part_that_no_halving_gives_is_refused(tmp_path):
    go(6, folder=tmp_path)
    choices = json.loads((tmp_path / "choices.json").read_text())
    (tmp_path / "metrics.json").unlink()
    (tmp_path / "choices.json").write_text(json.dumps({**choices, "1": {**choices["1"], "part_size": 3}}))
    with pytest.raises(kertl.errors.RunError, match=r"\[4, 2, 1\]\. Received: part_size=3 for stage 2"):
        go(folder=tmp_path)


def trained_on_rows(divided):
    """Weights and history of a small model, with weighted rows, a penalty and an uneven last batch."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    x = keras.layers.Dense(5, activation="tanh", kernel_regularizer="l2")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    model = in_parts(model, 3) if divided else model
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    random = np.random.default_rng(0)
    x, y = random.normal(size=(19, 4)).astype("float32"), random.integers(0, 3, 19)
    options = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}
    history = model.fit(x, y, sample_weight=random.uniform(0.5, 2, 19).astype("float32"), **options).history
    return [*np.concatenate([value.ravel() for value in model.get_weights()]), *history["loss"], *history["accuracy"]]


def test_a_step_in_parts_is_a_step_of_the_whole_batch():
    np.testing.assert_allclose(trained_on_rows(True), trained_on_rows(False), rtol=0, atol=2e-6)


@pytest.mark.slow
def test_on_jax_a_step_in_parts_is_a_step_of_the_whole_batch_too():
    test = "test_a_step_in_parts_is_a_step_of_the_whole_batch"
    python(f"from tests.runner.test_parts import {test}; {test}()", KERAS_BACKEND="jax")


@pytest.mark.slow
def test_on_jax_a_run_that_ran_out_of_memory_goes_on_too():
    printed = python(
        """
        import jax, keras, numpy as np
        from tests.runner.test_parts import PLAN, Full, go
        from tests.runs import weights

        class Raises(Full):
            def on_train_batch_begin(self, batch, logs=None):
                self._count += 1
                if self._count in self._left:
                    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes.")

        whole, other = weights(go().model), weights(go(callbacks=[Raises(6)]).model)
        for path, value in whole.items():
            np.testing.assert_allclose(other[path], value, rtol=0, atol=2e-6)
        print("equal")
        """,
        KERAS_BACKEND="jax",
    )
    assert printed.split()[-1] == "equal"


@pytest.mark.parametrize("count", [8, 2])
def test_what_is_computed_at_once_is_a_part(count):
    """BatchNorm with momentum 0 keeps the mean of the rows that it saw last: two of eight, or all of two."""
    inputs = keras.Input((1,))
    model = in_parts(keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.0, name="seen")(inputs)), 3)
    model.compile("sgd", "mse", jit_compile=False)
    rows = np.arange(count, dtype="float32")[:, None]
    model.fit(rows, rows, batch_size=8, shuffle=False, verbose=0)
    np.testing.assert_allclose(model.get_layer("seen").moving_mean, rows[-2:].mean(0))

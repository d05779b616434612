"""The best stage of a run is what it gives."""

import json

import keras
import numpy as np
import pytest

import kertl
from kertl.runner._best_stage import PLAIN_LOSS
from tests.marks import some_of
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import classifier, digest, quick, recipe, squares


def worse_and_worse(**options):
    """A good first stage, and later ones that spoil what it learnt."""
    still = {"optimizer": "sgd", "schedule": "constant"}
    return recipe(
        quick("full", epochs=8, learning_rate=0.02, label_smoothing=0),
        quick("deep", learning_rate=0.5, weight_decay=1.9, label_smoothing=0, **still, **options),
        quick("mid", learning_rate=1e-6, label_smoothing=0, **still, **options),
    )


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("cache", some_of([True, False], True))
def test_a_later_stage_that_ends_worse_does_not_replace_a_better_one(tmp_path, cache, caplog):
    kept = []

    class Keep(keras.callbacks.Callback):
        """The weights of the whole model when a stage begins."""

        def on_train_begin(self, logs=None):
            kept.append(digest(model))

        def get_state(self):
            return None

    model = classifier()
    plan = worse_and_worse(cache=cache)
    run = kertl.fine_tune(model, squares(), recipe=plan, run_dir=tmp_path, callbacks=[Keep()], verbose=0)
    lowest = [min(row["val_loss"] for row in run.rows if row["stage"] == stage) for stage in range(3)]
    assert int(np.argmin(lowest)) == run.best_stage == 0
    assert [one.value for one in run.stages] == pytest.approx(lowest)
    assert digest(model) == kept[1]
    assert run.metrics["validation"]["accuracy"] == pytest.approx(
        kertl.evaluate(model, squares().validation)["accuracy"]
    )
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["best_stage"] == 0
    assert [one["at"] for one in written["stages"]] == ["full", "deep", "mid"]
    assert_names(caplog.text, "best", "stage 1 (at='full')", "val_loss", "stage 3 (at='mid')")
    again = kertl.fine_tune(classifier(), squares(), recipe=plan, run_dir=tmp_path, verbose=0)
    assert (again.best_stage, again.stages, again.metrics) == (run.best_stage, run.stages, run.metrics)
    assert digest(again.model) == digest(model)


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_that_was_broken_off_gives_the_same_stage(tmp_path):
    plan = worse_and_worse(cache=True)
    whole = kertl.fine_tune(
        classifier(), squares(), recipe=plan, run_dir=tmp_path / "whole", checkpoint_seconds=0, verbose=0
    )
    for _ in range(9):
        kill = Kill(["on_epoch_end", "on_train_batch_end"], 9)
        try:
            run = kertl.fine_tune(
                classifier(),
                squares(),
                recipe=plan,
                run_dir=tmp_path / "killed",
                callbacks=[kill],
                checkpoint_seconds=0,
                verbose=0,
            )
            break
        except Killed:
            continue
    assert run.best_stage == whole.best_stage == 0
    assert run.stages == whole.stages
    assert digest(run.model) == digest(whole.model)


@pytest.mark.promise
@pytest.mark.slow
def test_stages_with_other_losses_are_compared_by_the_plain_one():
    plan = recipe(
        quick("deep", epochs=4, learning_rate=0.02, label_smoothing=0.3),
        quick("mid", epochs=1, learning_rate=1.0, optimizer="sgd", schedule="constant", label_smoothing=0.0),
    )
    run = kertl.fine_tune(classifier(), squares(), recipe=plan, verbose=0)
    assert {one.metric for one in run.stages} == {PLAIN_LOSS}
    assert run.best_stage == int(np.argmin([one.value for one in run.stages]))
    chosen = run.stages[run.best_stage].value
    assert chosen == pytest.approx(run.metrics["validation"]["crossentropy"], rel=1e-4)


@pytest.mark.promise
@pytest.mark.slow
def test_where_layers_have_penalties_stages_are_compared_without_them():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    for number, filters in enumerate((8, 16)):
        penalty = keras.regularizers.L2(0.1)
        layer = keras.layers.Conv2D(filters, 3, strides=2, kernel_regularizer=penalty, name=f"block{number}_conv")
        x = keras.layers.ReLU(name=f"block{number}_relu")(layer(x))
    model = kertl.build(keras.Model(inputs, x, name="own"), class_names=list(squares().class_names))
    plan = recipe(quick("deep", epochs=2), quick("full", epochs=6, learning_rate=0.01))
    run = kertl.fine_tune(model, squares(), recipe=plan, verbose=0)
    assert {one.metric for one in run.stages} == {PLAIN_LOSS}
    assert run.best_stage == 1, "its penalty alone is above what it wins"


def test_without_a_validation_set_the_last_stage_stays():
    run = kertl.fine_tune(classifier(), squares(validation=0), recipe=recipe("deep", "mid"), verbose=0)
    assert run.best_stage == 1
    assert [one.value for one in run.stages] == [None, None]


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_draws_its_losses_and_says_how_its_stages_ended(tmp_path):
    run = kertl.fine_tune(classifier(), squares(), recipe=recipe("deep", "mid"), verbose=0)
    run.plot(tmp_path / "losses.png")
    assert (tmp_path / "losses.png").stat().st_size > 5000
    assert "this is the model" in run.table()
    assert "Test: accuracy" in run.table()


@pytest.mark.promise
@pytest.mark.slow
def test_a_later_stage_that_diverges_leaves_the_best_of_those_before_it(tmp_path):
    model = classifier()
    good = quick("full", epochs=6, learning_rate=0.02, label_smoothing=0)
    diverging = quick("full", epochs=9, learning_rate=1e30, optimizer="sgd", schedule="constant", label_smoothing=0)
    with pytest.raises(kertl.errors.DivergedError):
        kertl.fine_tune(model, squares(), recipe=recipe(good, diverging), run_dir=tmp_path, verbose=0)
    expected = kertl.fine_tune(classifier(), squares(), recipe=recipe(good), verbose=0)
    assert digest(model) == digest(expected.model) == digest(kertl.load(tmp_path / "model.keras"))

"""What a stage can ask for beside boundary, length and rate: another size, other batches, a pull, an earlier end."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kertl
from kertl.range_test import _stage as _range
from kertl.training import L2SP, _pool
from tests.messages import assert_names
from tests.runner.test_resume import Kill, Killed
from tests.runs import classifier, digest, quick, recipe, squares, tiny, values


def train(model, *stages, **options):
    return kertl.fine_tune(model, squares(per_class=8), recipe=recipe(*stages), verbose=0, **options)


@pytest.mark.promise
@pytest.mark.slow
def test_a_stage_at_another_size_trains_the_model_itself(monkeypatch):
    seen = []
    monkeypatch.setattr(
        _pool, "extract", lambda model, *a, **k: seen.append(model.input_shape) or kertl.extract(model, *a, **k)
    )
    model = tiny()
    before = digest(model)
    run = train(model, quick("deep", cache=True, image_size=(64, 96)), quick("mid", image_size=(64, 64)), quick("mid"))
    assert set(seen) == {(None, 64, 96, 3)}
    assert run.model is model
    assert model.input_shape == (None, 32, 32, 3)
    assert digest(model) != before
    assert run.metrics == {
        name: kertl.evaluate(model, part) for name in ("validation", "test") if (part := getattr(squares(8), name))
    }


@pytest.mark.promise
@pytest.mark.slow
def test_what_comes_after_a_last_stage_at_another_size_is_judged_at_the_models_own():
    run = train(tiny(), quick("deep", cache=True, image_size=(64, 64)))
    assert run.metrics["test"] == kertl.evaluate(run.model, squares(per_class=8).test)


def test_a_size_that_the_layers_cannot_take_is_refused_before_anything_trains():
    model = tiny(pooling="flatten")
    before = digest(model)
    with pytest.raises(ValueError, match=r"^`image_size` must be \(32, 32\)"):
        train(model, quick("deep"), quick("mid", image_size=(64, 64)))
    assert digest(model) == before


@pytest.mark.parametrize(
    ("batch_size", "steps", "cache"),
    [(1, 12, False), (5, 3, True), ("full", 1, False), ("full", 1, True), (None, 2, True)],
)
def test_a_stage_has_batches_of_its_own(batch_size, steps, cache):
    counted = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: counted.append(int(count.model.optimizer.iterations))
    )
    train(tiny(), quick("deep", batch_size=batch_size, cache=cache, epochs=2), callbacks=[count])
    assert counted == [steps, 2 * steps]


def test_the_pull_is_the_formula_of_its_paper():
    start, now = np.array([1.0, -2.0], "float32"), keras.Variable([1.5, 0.0])
    assert float(L2SP(0.3, start)(now)) == pytest.approx(0.3 / 2 * (0.5**2 + 2.0**2))
    both = L2SP(0.3, start, keras.regularizers.L2(0.1))
    assert float(both(now)) == pytest.approx(0.3 / 2 * 4.25 + 0.1 * 1.5**2)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_a_strong_pull_holds_the_backbone_where_the_run_began_and_leaves_the_head_alone(cache):
    def moved(strength):
        model = tiny(dropout=0.0)
        before = dict(zip([v.path for v in model.variables], values(model.variables), strict=True))
        train(model, quick("mid", epochs=8, optimizer="sgd", weight_decay=0.0, cache=cache, l2_sp=strength))
        far = {
            v.path: np.abs(now - before[v.path]).max()
            for v, now in zip(model.variables, values(model.variables), strict=True)
        }
        assert all(variable.regularizer is None for variable in model.trainable_variables)
        return far["predictions/kernel"], max(far[path] for path in far if "block2_conv" in path)

    free, held = moved(0.0), moved(30.0)
    assert held[1] < free[1] / 3
    assert held[0] > free[0] / 3


def test_a_stage_ends_when_its_training_loss_is_below_the_validation_loss():
    model = tiny(dropout=0.0)
    run = train(model, quick("full", epochs=30, learning_rate=0.02, until_below_validation=True))
    below = [loss < judged for loss, judged in zip(run.history["loss"], run.history["val_loss"], strict=True)]
    assert below == [False] * (len(below) - 1) + [True]
    with pytest.raises(ValueError, match=r"^`until_below_validation` must be False .*validation set"):
        kertl.fine_tune(
            tiny(), squares(8, validation=0), recipe=recipe(quick("deep", until_below_validation=True)), verbose=0
        )


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_a_run_with_all_of_it_goes_on_to_the_same_bits(tmp_path, cache):
    def once(folder, callbacks=()):
        options = {"epochs": 2, "cache": cache, "l2_sp": 0.1, "batch_size": 5, "loss": "focal"}
        stages = (quick("mid", image_size=(64, 64), **options), quick("mid", schedule="warmup_cosine", **options))
        run = train(tiny(), *stages, run_dir=folder, callbacks=callbacks, checkpoint_seconds=0)
        return digest(run.model)

    class Break(keras.callbacks.Callback):
        armed = True

        def get_state(self):
            return {}

        def set_state(self, state):
            pass

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3 and Break.armed:
                Break.armed = False
                raise KeyboardInterrupt

    whole = once(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        once(tmp_path / "broken", [Break()])
    assert once(tmp_path / "broken", [Break()]) == whole


def test_damaged_weights_of_the_beginning_are_named(tmp_path):
    (tmp_path / "start.npz").write_bytes(b"PK no archive")
    with pytest.raises(kertl.errors.RunError, match=r"start\.npz"):
        train(tiny(), quick("mid", l2_sp=0.1), run_dir=tmp_path)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_each_group_has_its_rate_in_the_history_and_moves_by_it(cache):
    model = classifier(dropout=0.0)
    before = dict(zip([v.path for v in model.variables], values(model.variables), strict=True))
    stage = {"optimizer": "adam", "weight_decay": 0.0, "batch_size": "full", "schedule": "constant", "cache": cache}
    run = train(model, quick("block3", learning_rate=(1e-4, 1e-2), **stage))
    assert run.history["learning_rate/head"] == run.history["learning_rate"] == [pytest.approx(1e-2)]
    assert run.history["learning_rate/block4"] == [pytest.approx(1e-3)]
    assert run.history["learning_rate/block3"] == [pytest.approx(1e-4)]
    for path, rate in {"block3_conv/kernel": 1e-4, "block4_conv/kernel": 1e-3, "predictions/kernel": 1e-2}.items():
        (now,) = (value for v, value in zip(model.variables, values(model.variables), strict=True) if v.path == path)
        # the first step of Adam moves every weight by the rate
        np.testing.assert_allclose(np.median(np.abs(now - before[path])), rate, rtol=1e-2)


def test_rates_fall_by_the_decay_and_moments_are_carried_between_one_rate_and_many():
    run = train(classifier(), quick("mid"), quick("block3", layer_decay=0.5, schedule="constant"))
    rates = [run.history[f"learning_rate/{name}"][-1] for name in ("head", "block4", "block3")]
    assert rates == pytest.approx([0.01, 0.005, 0.0025])


@pytest.mark.parametrize("cache", [False, True])
def test_the_average_of_the_weights_is_judged_and_kept(cache):
    seen = []

    class See(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            optimizer = self.model.optimizer
            seen.append(
                (values(optimizer._trainable_variables), values(optimizer._model_variables_moving_average), logs)
            )

    model = tiny()
    run = train(model, quick("deep", epochs=4, ema=0.9, cache=cache), callbacks=[See()])
    weights_then, averages, logs = seen[int(np.argmin(run.history["val_loss"]))]
    kernel = model.get_layer("predictions").kernel
    (average,) = (value for value in averages if value.shape == kernel.shape)
    np.testing.assert_array_equal(values([kernel])[0], average)
    assert not any(np.array_equal(one, average) for one in weights_then)
    model.compile(loss=kertl.tasks.loss_named(kertl.tasks.task_named("single_label"), "auto", smoothing=0.1))
    judged = model.evaluate(squares(per_class=8).validation, verbose=0)
    assert judged == pytest.approx(logs["val_loss"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hook", [pytest.param("on_train_batch_end", marks=pytest.mark.promise), "on_test_batch_end", "on_epoch_end"]
)
def test_a_run_with_averages_and_rates_by_group_goes_on_to_the_same_bits(tmp_path, hook):
    def once(folder, **options):
        stages = (quick("deep", epochs=2, ema=0.9), quick("mid", epochs=2, ema=0.9, layer_decay=0.3, optimizer="sgd"))
        run = train(tiny(), *stages, run_dir=folder, checkpoint_seconds=0, **options)
        return digest(run.model)

    whole = once(tmp_path / "whole")
    for _ in range(9):
        try:
            assert once(tmp_path / "killed", callbacks=[Kill([hook], 3)]) == whole
            return
        except Killed:
            continue
    pytest.fail("the run never came to its end")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"learning_rate": (1e-3, 1e-4)}, ("`learning_rate`", ">= 0.001", "learning_rate=0.0001")),
        ({"learning_rate": (1e-3,)}, ("`learning_rate`", "(low, high)", "'auto'", "learning_rate=(0.001,)")),
        ({"layer_decay": 0}, ("`layer_decay`", "> 0", "<= 1", "layer_decay=0")),
        (
            {"layer_decay": 0.5, "learning_rate": (1e-4, 1e-3)},
            ("`layer_decay`", "1", "`learning_rate`", "layer_decay=0.5"),
        ),
        ({"ema": 1}, ("`ema`", ">= 0", "< 1", "ema=1")),
        ({"l2_sp": -1}, ("`l2_sp`", ">= 0", "l2_sp=-1")),
        ({"batch_size": 0}, ("`batch_size`", ">= 1", "batch_size=0")),
        ({"image_size": (100, 128)}, ("`image_size`", "32", "image_size=(100, 128)")),
        ({"image_size": 128}, ("`image_size`", "(height, width)", ">= 32", "image_size=128")),
    ],
)
def test_options_out_of_range_are_refused(fields, named):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.Stage("deep", **fields)
    assert_names(caught.value, *named)


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("cache", [False, True])
def test_the_rate_is_found_at_the_start_of_a_stage_written_down_and_kept_to(tmp_path, cache, monkeypatch, caplog):
    asked = []
    test = _range.lr_range_test
    monkeypatch.setattr(_range, "lr_range_test", lambda *a, **k: asked.append(test(*a, **k)) or asked[-1])
    stages = (quick("deep", learning_rate="auto", epochs=3, schedule="constant", cache=cache),)
    run = train(tiny(), *stages, run_dir=tmp_path / "whole")
    (found,) = asked
    written = json.loads((tmp_path / "whole" / "choices.json").read_text())["0"]
    assert written["learning_rate"] == (found.suggestion or 3e-3)
    assert run.history["learning_rate"] == pytest.approx([written["learning_rate"]] * 3)
    with pytest.raises(Killed):
        train(
            tiny(),
            *stages,
            run_dir=tmp_path / "killed",
            checkpoint_seconds=0,
            callbacks=[Kill(["on_epoch_end"], 2)],
        )
    again = train(
        tiny(), *stages, run_dir=tmp_path / "killed", checkpoint_seconds=0, callbacks=[Kill(["on_epoch_end"], 99)]
    )
    assert len(asked) == 2
    assert digest(again.model) == digest(run.model)


@pytest.mark.promise
@pytest.mark.slow
def test_where_no_rate_is_found_that_of_the_named_recipes_is_taken_and_the_reason_written_down(tmp_path, monkeypatch):
    monkeypatch.setattr(_range, "lr_range_test", lambda *a, **k: SimpleNamespace(suggestion=None))
    train(classifier(), *(quick(at, learning_rate="auto") for at in ("deep", "block4", "full")), run_dir=tmp_path)
    written = json.loads((tmp_path / "choices.json").read_text())
    assert [written[str(number)]["learning_rate"] for number in range(3)] == [3e-3, 3e-5, 3e-5]
    for one in written.values():
        assert_names(one["learning_rate_reason"], "named recipes", "range test")

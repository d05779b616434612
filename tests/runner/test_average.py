"""Runs that average their stages: one plain model, its shares, and the same bits after a kill."""

import json

import keras
import numpy as np
import pytest

import kertl
from kertl.runner import _auto, _average
from kertl.runner._budget import Costs, within
from tests.messages import assert_names
from tests.runner.test_auto import GIVEN
from tests.runner.test_resume import Kill, Killed
from tests.runs import digest, python, quick, recipe, squares, tiny

PLAN = recipe(
    kertl.Stage("deep", solver="exact"),
    kertl.Stage("mid", epochs=2, learning_rate=1e-3, label_smoothing=0.0, views=2),
    refit=True,
    average=True,
)


def go(folder=None, *, plan=PLAN, seed=1, **options):
    model = tiny(seed, depths="auto", dropout=None)
    options = {"verbose": 0, "checkpoint_seconds": 0, "report": False, "callbacks": [Kill()], **options}
    return model, kertl.fine_tune(model, squares(), recipe=plan, run_dir=folder, **options)


greedy_shares = _average.greedy_shares


@pytest.fixture(scope="module", autouse=True)
def _both_count():
    """On pictures as easy as these the first stage alone would be the model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_average, "greedy_shares", lambda predictions, loss: [0.4, 0.6][: len(predictions)])
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return go(tmp_path_factory.mktemp("whole"))


def test_the_model_is_the_mean_of_its_stages_by_their_shares(whole):
    _, run = whole
    told, images = run.average, squares().test
    assert sum(told["shares"]) == pytest.approx(1)
    pictures = images.reader.take(np.arange(images.num_examples)).astype("float32")
    seen = [pictures, pictures[:, :, ::-1]] if told["mirrored"] else [pictures]
    expected = 0
    for number, share in enumerate(told["shares"], start=1):
        for one in seen:
            features = run.model.get_layer("shared").predict(one, verbose=0)
            part = run.model.get_layer(f"member_{number}")
            expected = expected + share / len(seen) * part.predict(features, verbose=0)
    np.testing.assert_allclose(kertl.predict(run.model, images), expected, atol=1e-6)
    assert run.metrics["test"] == kertl.evaluate(run.model, images)


def test_the_model_that_was_given_has_the_weights_of_the_best_stage(whole):
    model, run = whole
    place = run.average["stages"].index(run.best_stage) + 1
    member = run.model.get_layer(f"member_{place}")
    features = run.model.get_layer("shared")
    pictures = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3)).astype("float32")
    np.testing.assert_allclose(model(pictures), member(features(pictures)), atol=1e-5)


@pytest.mark.slow
def test_it_loads_without_kertl_and_predicts_the_same(whole):
    _, run = whole
    out = python(
        f"""
        import sys, keras, numpy as np
        model = keras.saving.load_model({str(run.run_dir / "model.keras")!r})
        assert "kertl" not in sys.modules
        print(model.predict(np.full((1, 32, 32, 3), 99.0), verbose=0).ravel().tolist())
        """
    )
    said = run.model.predict(np.full((1, 32, 32, 3), 99.0), verbose=0).ravel()
    np.testing.assert_allclose(json.loads(out.splitlines()[-1]), said, atol=1e-6)


def test_the_run_says_so_everywhere(whole):
    _, run = whole
    written = json.loads((run.run_dir / "metrics.json").read_text())["average"]
    assert written == run.average
    assert json.loads((run.run_dir / "choices.json").read_text())["average"]["shares"] == written["shares"]
    assert "60% of the model" in run.table()
    assert "60% of the model" in run.report(run.run_dir / "page.html").read_text("utf-8")


def test_a_finished_run_is_read_and_gives_the_same_model(whole):
    model, run = whole
    again, read = go(run.run_dir, seed=7)
    assert digest(read.model) == digest(run.model)
    assert digest(again) == digest(model)
    assert (read.average, read.refit) == (run.average, run.refit)


@pytest.mark.promise
@pytest.mark.slow
def test_a_run_that_averages_goes_on_to_the_same_bits_after_every_kill(whole, tmp_path):
    _, run = whole
    for epochs in (1, 2, 2):
        with pytest.raises(Killed):
            go(tmp_path, callbacks=[Kill(["on_epoch_end"], epochs)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_average, "averaged", lambda *_, **__: Kill().kill())
        with pytest.raises(Killed):
            go(tmp_path)
    _, again = go(tmp_path)
    assert digest(again.model) == digest(run.model)
    assert again.average == run.average


def test_shares_lower_the_loss_of_the_best_alone():
    random = np.random.default_rng(0)
    truth = random.normal(size=(200, 1))
    guesses = [truth + random.normal(size=truth.shape) * scale for scale in (1.0, 1.0, 9.0)]

    def loss(given):
        return float(np.mean((given - truth) ** 2))

    shares = greedy_shares(guesses, loss)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] > 0.3 < shares[1]
    assert shares[2] < 0.1
    mean = sum(share * guess for share, guess in zip(shares, guesses, strict=True))
    assert loss(mean) < min(map(loss, guesses))


def test_without_a_validation_set_all_stages_count_equally():
    plan = recipe(quick("deep", cache=True), quick("mid"), average=True)
    run = kertl.fine_tune(tiny(), squares(validation=0), recipe=plan, verbose=0)
    assert run.average == {"stages": [0, 1], "shares": [0.5, 0.5], "mirrored": False}
    assert isinstance(run.model, keras.Model)


@pytest.mark.parametrize("field", ["image_size", "quantize"])
def test_stages_that_no_mean_can_have_are_refused(field):
    stage = kertl.Stage("mid", **{field: {"image_size": (64, 64), "quantize": "int8"}[field]})
    with pytest.raises(ValueError, match="average=True") as caught:
        kertl.Recipe(stages=[kertl.Stage("deep"), stage], average=True)
    assert_names(caught.value, field)


def test_folds_refuse_a_recipe_that_averages():
    with pytest.raises(ValueError, match="`average` must be False in cross_validate"):
        kertl.cross_validate(tiny(), squares(), recipe=recipe(quick("deep"), average=True))


def test_the_preset_best_fine_tunes_after_a_head_of_all_depths_and_averages():
    given = {**GIVEN, "solved": True, "sees_depths": True, "by_depth": {}}
    assert [stage.at for stage in _auto.decide(**given)[0].stages] == ["deep"]
    best, reasons = _auto.decide(**given, several=True)
    assert [(stage.at, stage.solver) for stage in best.stages] == [("deep", "exact"), ("mid", "gradient")]
    assert (best.average, best.refit) == (True, True)
    assert_names(" ".join(reasons), "averaged", "validation")
    few, _ = _auto.decide(**{**given, "smallest_class": 5}, several=True)
    assert [stage.at for stage in few.stages] == ["deep"]


def test_what_there_is_no_time_for_is_left_out_of_the_mean():
    best, _ = _auto.decide(**{**GIVEN, "solved": True, "sees_depths": True, "by_depth": {}}, several=True)
    kept, reasons = within(best, 1.0, [Costs(30.0, 0.0), Costs(20.0, 60.0)])
    assert ([stage.at for stage in kept.stages], kept.average) == (["deep"], True)
    assert_names(" ".join(reasons), "no stage at 'mid'")

"""The range test of a stage."""

import json

import keras
import numpy as np
import pytest

import kertl
from kertl.range_test import stage_range_test
from tests.runs import classifier, quick, recipe, same, squares, weights


@pytest.mark.slow
@pytest.mark.parametrize("cache", [True, pytest.param(False, marks=pytest.mark.promise)])
def test_it_suggests_what_a_stage_takes_whose_rate_is_auto(tmp_path, cache):
    options = {"epochs": 2, "cache": cache, "class_weights": True, "mixup": 0.2, "optimizer": "sgd"}
    stage = quick("mid", learning_rate="auto", **options)
    kertl.fine_tune(classifier(), squares(), recipe=recipe(stage, seed=4), run_dir=tmp_path, verbose=0)
    taken = json.loads((tmp_path / "choices.json").read_text())["0"]["learning_rate"]
    found = stage_range_test(classifier(), squares(), stage, seed=4)
    assert found.suggestion is not None
    assert found.suggestion == taken


def test_a_boundary_stands_for_the_stage_that_the_named_recipes_have_there(monkeypatch):
    model, seen = classifier(), []
    compiled = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", lambda self, *a, **o: seen.append(o["optimizer"]) or compiled(self, *a, **o)
    )
    stage_range_test(model, squares(), "deep", steps=20)
    assert isinstance(seen[0], keras.optimizers.AdamW)
    assert float(seen[0].learning_rate) == pytest.approx(3e-3)


def test_the_model_is_given_back_as_it_was():
    model = classifier()
    before, flags = weights(model), [layer.trainable for layer in model.layers]
    found = stage_range_test(model, squares(), quick("full", l2_sp=0.1), steps=20)
    assert np.isfinite(found.losses).all()
    assert all(same(before, weights(model)).values())
    assert [layer.trainable for layer in model.layers] == flags
    assert not model.compiled


def test_what_is_no_data_is_refused():
    with pytest.raises(ValueError, match="`data` must be what"):
        stage_range_test(classifier(), squares().train)


def test_a_stage_of_few_batches_is_gone_through_until_all_steps_are_done():
    data = squares()
    assert len(data.train) == 3
    found = stage_range_test(classifier(), data, "deep", end=1e-5)
    assert len(found.learning_rates) == 100
    assert found.learning_rates[-1] == pytest.approx(1e-5)

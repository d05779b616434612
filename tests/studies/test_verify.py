"""Cached and live training are the same, at every main boundary, and `verify_cached` finds it where they are not."""

import keras
import numpy as np
import pytest

import kertl
from kertl.studies import _verify
from tests.backbones.kinds import QUICK
from tests.families import lively
from tests.runs import classifier, squares

BACKBONES = {
    "MobileNet": lambda: kertl.load_backbone("MobileNet", weights=None, input_shape=(64, 64, 3)),
    "hub ResNet34": lambda: QUICK["hub ResNet34"].load(),
    "trained": lambda: QUICK["trained"].load(),
}


def built(name):
    keras.utils.set_random_seed(1)
    backbone = BACKBONES[name]()
    data = squares(side=backbone.input_shape[1])
    lively(backbone, np.concatenate([data.train.batch(0, index)[0] for index in range(3)]).astype("float32"))
    keras.utils.set_random_seed(2)
    head = kertl.Head(hidden_units=(8,), dropout=0.4)
    return kertl.build(backbone, class_names=data.class_names, head=head), data


def main_boundaries(model):
    groups = kertl.layer_groups(model)
    behind = [number + 1 for number, group in enumerate(groups) if group.boundary == "main"]
    return [*(number for number in behind if number < len(groups)), "deep"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [name if name == "hub ResNet34" else pytest.param(name, marks=pytest.mark.promise) for name in BACKBONES]
)
def test_cached_and_live_training_are_the_same_at_every_main_boundary(name):
    model, data = built(name)
    before = [np.array(value) for value in model.get_weights()]
    flags = [layer.trainable for layer in model._flatten_layers()]
    boundaries = main_boundaries(model)
    assert len(boundaries) >= 3
    for at in boundaries:
        found = kertl.verify_cached(model, data, at=at)
        assert found.same, found
        assert found.batches == len(data.train)
        assert found.gradient_difference > 0, "two engines agree to the last bit only where nothing comes through"
    for options in ({"engine": "keras"}, {"precision": "mixed_bfloat16", "engine": "keras"}, {"batch_norm": "train"}):
        found = kertl.verify_cached(model, data, at=boundaries[-2], **options)
        assert found.same, found
        if found.engine == "keras":
            assert found.gradient_difference < 1e-5  # rounding: 1.9e-6 of a ResNet34 on one processor, 0 on another
    assert flags == [layer.trainable for layer in model._flatten_layers()]
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_features_of_either_engine_serve_half_precision(precision):
    found = kertl.verify_cached(classifier(), squares(), at="mid", precision=precision)
    assert found.same, found
    assert found.engine == ("keras" if precision == "mixed_float16" else "openvino")


@pytest.mark.parametrize("wrong", [lambda values: values * 1.01, lambda values: values[::-1]], ids=["values", "order"])
def test_a_difference_is_found(monkeypatch, wrong):
    batches = _verify.feature_batches
    monkeypatch.setattr(
        _verify, "feature_batches", lambda values, *rest, **options: batches(wrong(values), *rest, **options)
    )
    found = kertl.verify_cached(classifier(dropout=0.5), squares(), at="deep")
    assert not found.same
    assert "NOT the same training" in str(found)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="`data` must be what"):
        kertl.verify_cached(classifier(), np.zeros((3, 32, 32, 3)))
    with pytest.raises(ValueError, match="a boundary with something before it"):
        kertl.verify_cached(classifier(), squares(), at="full")

import itertools
import logging

import keras
import numpy as np
import pytest

import kertl
from tests.families import EACH_FAMILY, FAMILIES, application, lively, small_backbone, small_classifier
from tests.messages import assert_names


def images(side, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, side, side, 3)).astype("float32")


def distance(model, at, x):
    """Largest difference between the model and the two halves of it, relative to the largest output."""
    prefix, suffix = kertl.split(model, at)
    whole = keras.ops.convert_to_numpy(model(x))
    halves = keras.ops.convert_to_numpy(suffix(prefix(x)))
    return np.abs(whole - halves).max() / max(np.abs(whole).max(), 1e-12)


@pytest.mark.parametrize("name", EACH_FAMILY)
def test_suffix_of_prefix_is_the_backbone_at_every_main_boundary(name):
    model = application(name, FAMILIES[name])
    groups = kertl.layer_groups(model)
    behind_main = [group.name for before, group in itertools.pairwise(groups) if before.boundary == "main"]
    x = images(FAMILIES[name])
    lively(model, x)
    for at in ["deep", "mid", "full", *behind_main[-2:]]:
        assert distance(model, at, x) <= 1e-5, at


@pytest.mark.parametrize("model", [small_backbone(), small_classifier()], ids=["bare", "with head"])
def test_suffix_of_prefix_is_the_model_at_every_boundary_by_name_and_by_number(model):
    groups = kertl.layer_groups(model)
    for number, group in enumerate(groups):
        for at in (group.name, len(groups) - number):
            assert distance(model, at, images(32)) <= 1e-6, at


def test_prefix_and_suffix_share_the_layers_of_the_model():
    model = small_classifier()
    prefix, suffix = kertl.split(model, "mid")
    in_halves = {id(variable) for half in (prefix, suffix) for variable in half.variables}
    assert in_halves == {id(variable) for variable in model.variables}


def test_deep_is_behind_the_pooling_of_a_classifier_and_the_identity_behind_a_bare_backbone():
    prefix, suffix = kertl.split(small_classifier(), "deep")
    assert prefix.output_shape == (None, 24)
    assert [layer.name for layer in suffix.layers if layer.weights] == ["head_dense", "head_bn", "predictions"]
    _, identity = kertl.split(small_backbone(), "deep")
    x = images(4)
    np.testing.assert_array_equal(identity(np.zeros((1, 4, 4, 24))), np.zeros((1, 4, 4, 24)))
    assert identity.count_params() == 0
    assert x.shape == (2, 4, 4, 3)


def test_a_number_counts_groups_from_the_end():
    model = small_classifier()
    assert kertl.split(model, 1)[1].count_params() == kertl.split(model, "deep")[1].count_params()
    assert kertl.split(model, 2)[1].count_params() == kertl.split(model, "block4")[1].count_params()


@pytest.mark.parametrize("at", ["block9", 0, 7, True, 1.5, None])
def test_an_unknown_boundary_is_an_error_that_lists_the_groups(at):
    with pytest.raises(ValueError, match="`at` must be") as caught:
        kertl.split(small_classifier(), at)
    groups = "'stem_conv', 'block1', 'block2', 'block3', 'block4', 'head'"
    assert_names(caught.value, "'classifier'", f"at={at!r}", groups)


def test_a_misspelt_group_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean .*'block4'"):
        kertl.split(small_classifier(), "blok4")


def test_freeze_trains_exactly_the_announced_groups():
    model = small_classifier()
    kertl.freeze(model, "block4")
    trained = {variable.path.split("/")[-2] for variable in model.trainable_variables}
    assert trained == {"block4_conv", "head_dense", "head_bn", "predictions"}
    kertl.freeze(model, "block4", batch_norm="train")
    assert "block4_bn" in {variable.path.split("/")[-2] for variable in model.trainable_variables}
    kertl.freeze(model, "full")
    kertl.freeze(model, "deep")
    assert {v.path.split("/")[-2] for v in model.trainable_variables} == {"head_dense", "head_bn", "predictions"}


def test_freeze_demands_a_new_compile():
    model = small_classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    kertl.freeze(model, "deep")
    with pytest.raises(ValueError, match="compile"):
        model.fit(images(32), np.zeros(2), verbose=0)


def test_freeze_says_how_many_dropout_layers_stay_active(caplog):
    with caplog.at_level(logging.INFO, logger="kertl"):
        kertl.freeze(small_classifier(), "block4")
    assert_names(caplog.text, "3 dropout", "`fit`")


def test_a_wrong_batch_norm_mode_is_an_error():
    with pytest.raises(ValueError, match=r"`batch_norm` must be 'frozen' or 'train'.* batch_norm='freeze'"):
        kertl.freeze(small_classifier(), "mid", batch_norm="freeze")

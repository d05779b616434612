"""Which group gets which rate, and what becomes of the optimizer that was given."""

import keras
import numpy as np
import pytest

import kertl
from kertl.optimizers import discriminative
from tests.messages import assert_names
from tests.optimizers.grouped import array, examples, gradients, model

NAMES = ["block1", "block2", "block3", "head"]


def frozen(first):
    trained = model()
    kertl.freeze(trained, first)
    return trained


def factors(first="full", **options):
    return discriminative("sgd", frozen(first), **{"peak": 0.1, **options}).group_multipliers


def test_rates_are_a_geometric_row_from_the_first_group_that_trains_to_the_head():
    expected = dict(zip(NAMES, np.geomspace(1e-6, 1e-3, 4) / 1e-3, strict=True))
    assert factors(peak=None, rates=(1e-6, 1e-3)) == pytest.approx(expected)
    assert factors("block2", peak=None, rates=(1e-6, 1e-4)) == pytest.approx({"block2": 0.01, "block3": 0.1, "head": 1})
    assert factors("deep", peak=None, rates=(1e-6, 1e-4)) == {"head": 1.0}


def test_layer_decay_is_its_power_by_the_distance_from_the_head():
    assert factors(layer_decay=0.5) == {"block1": 0.125, "block2": 0.25, "block3": 0.5, "head": 1}
    assert factors("block3", layer_decay=0.5) == {"block3": 0.5, "head": 1}


def test_factors_by_hand_are_taken_as_they_are():
    assert factors("block3", multipliers={"head": 2, "block3": 0.1}) == {"block3": 0.1, "head": 2.0}


def test_each_variable_has_the_rate_of_its_group():
    trained = frozen("block2")
    optimizer = discriminative("sgd", trained, peak=0.5, layer_decay=0.5)
    of = trained.trainable_variables
    before = [array(v) for v in of]
    optimizer.apply([keras.ops.ones(v.shape) for v in of])
    rates = {"block2": 0.125, "block3": 0.25, "classifier": 0.5}
    for v, old in zip(of, before, strict=True):
        layer = v.path.split("/")[-2]
        rate = 0.5 if layer == "predictions" else rates[layer.split("_")[0]]
        np.testing.assert_allclose(array(v), old - rate, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("at", ["deep", "block2", "full"])
def test_a_stage_model_trains_with_the_groups_of_the_whole(at):
    whole = model()
    stage = kertl.stage_model(whole, at, batch_norm="train")
    optimizer = discriminative("adam", whole, peak=0.01, layer_decay=0.5, variables=stage.trainable_variables)
    alike = discriminative("adam", frozen(at), peak=0.01, layer_decay=0.5)
    assert optimizer.group_multipliers == alike.group_multipliers
    stage.compile(optimizer, "mse")
    stage.fit(*examples(), verbose=0)
    assert int(optimizer.iterations) == 1


def test_kernels_decay_but_not_biases_batch_norm_and_what_the_instance_leaves_out():
    trained = model()
    head = trained.trainable_variables[-2]
    plain = keras.optimizers.SGD(0.5, weight_decay=0.1)
    plain.exclude_from_weight_decay(var_list=[head])
    optimizer = discriminative(plain, trained, layer_decay=0.5)
    of = trained.trainable_variables
    for v in of:
        v.assign(np.ones(v.shape))
    optimizer.apply([keras.ops.zeros(v.shape) for v in of])
    for v in of:
        group = next((name for name in NAMES if name in v.path), "head")
        share = 0.1 * 0.5 * optimizer.group_multipliers[group] if "conv/kernel" in v.path else 0
        np.testing.assert_allclose(array(v), 1 - share, rtol=1e-6)


def test_an_instance_keeps_its_options_and_is_not_changed():
    trained = model()
    plain = keras.optimizers.AdamW(0.25, beta_1=0.8, weight_decay=0.2, global_clipnorm=1.0, use_ema=True, name="mine")
    before = plain.get_config()
    made = discriminative(plain, trained, layer_decay=0.5)
    assert isinstance(made, keras.optimizers.AdamW)
    assert before.items() <= made.get_config().items()
    assert not plain.built
    assert plain.get_config() == before
    changed = discriminative(plain, trained, peak=0.125, layer_decay=0.5, weight_decay=0.0)
    assert (float(changed.learning_rate), changed.weight_decay) == (0.125, 0.0)


@pytest.mark.parametrize(("name", "own"), [("adamw", 0.004), ("muon", 0.004), ("sgd_nesterov", None)])
def test_weight_decay_is_the_optimizers_own_unless_given(name, own):
    trained = model()
    assert discriminative(name, trained, peak=0.1, layer_decay=1.0).weight_decay == own
    given = discriminative(name, trained, peak=0.1, layer_decay=1.0, weight_decay=0.5)
    assert (given.weight_decay, getattr(given, "adam_weight_decay", 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize("as_peak", [True, False])
def test_a_schedule_is_the_rate_of_the_head(as_peak):
    schedule = kertl.schedules.OneCycle(0.125, 10, warmup_fraction=0.0)
    optimizer, peak = ("sgd", schedule) if as_peak else (keras.optimizers.SGD(schedule), None)
    for ways in ({"layer_decay": 0.5}, {"rates": (0.001, 0.125)}):
        made = discriminative(optimizer, model(), peak=peak, **ways)
        assert made._learning_rate is schedule
        assert float(made.learning_rate) == pytest.approx(0.125)


def test_somebodys_class_does_not_take_the_place_of_keras_own_of_that_name():
    theirs = type("SGD", (keras.optimizers.SGD,), {})
    made = discriminative(theirs(0.5), model(), layer_decay=0.5)
    ours = discriminative(keras.optimizers.SGD(0.5), model(), layer_decay=0.5)
    for optimizer in (made, ours):
        described = keras.saving.serialize_keras_object(optimizer)
        assert type(keras.saving.deserialize_keras_object(described)) is type(optimizer)
    assert type(made) is not type(ours)


def test_an_optimizer_class_of_somebody_elses_works():
    class Signs(keras.optimizers.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, keras.ops.sign(gradient) * learning_rate)

    trained = model()
    optimizer = discriminative(Signs(0.5), trained, layer_decay=0.5)
    assert isinstance(optimizer, Signs)
    of = trained.trainable_variables
    before, slopes = [array(v) for v in of], gradients(of)
    optimizer.apply(slopes)
    np.testing.assert_allclose(array(of[0]), before[0] - 0.0625 * np.sign(array(slopes[0])), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(array(of[-1]), before[-1] - 0.5 * np.sign(array(slopes[-1])), rtol=1e-6, atol=1e-7)


ONE = ("`rates`", "`layer_decay`", "`multipliers`")
SOME = ("`variables`", "'classifier'")
COVER = ("`multipliers`", "['block3', 'head']")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, (*ONE, "[]")),
        ({"layer_decay": 0.5, "rates": (0.1, 1.0)}, (*ONE, "['rates', 'layer_decay']")),
        ({"layer_decay": 0.0}, ("`layer_decay`", "> 0", "<= 1", "layer_decay=0.0")),
        ({"layer_decay": 1.5}, ("`layer_decay`", "> 0", "<= 1", "layer_decay=1.5")),
        ({"layer_decay": 0.5, "peak": None}, ("`peak`", "> 0", "peak=None")),
        ({"layer_decay": 0.5, "peak": 0.0}, ("`peak`", "> 0", "peak=0.0")),
        ({"layer_decay": 0.5, "weight_decay": -1}, ("`weight_decay`", ">= 0", "weight_decay=-1")),
        ({"rates": (0.1, 0.2, 0.3)}, ("`rates`", "(low, high)", "rates=(0.1, 0.2, 0.3)")),
        ({"rates": (0.2, 0.1), "peak": None}, ("`rates`", ">= 0.2", "rates=0.1")),
        ({"rates": (0.0, 0.1), "peak": None}, ("`rates`", "> 0", "rates=0.0")),
        ({"rates": (0.1, 0.2)}, ("`peak`", "`rates`", "0.2", "peak=0.1")),
        ({"rates": (0.1, 0.2), "peak": kertl.schedules.OneCycle(0.3, 10)}, ("`peak`", "`rates`", "0.2", "peak=0.3")),
        (
            {"multipliers": {"head": 1}},
            (*COVER, "multipliers={'head': 1}", "Left out: ['block3']", "not trained: []"),
        ),
        (
            {"multipliers": {"head": 1, "block3": 0.1, "block1": 0.1}},
            (*COVER, "'block1': 0.1}", "Left out: []", "not trained: ['block1']"),
        ),
        (
            {"multipliers": [1, 2]},
            (*COVER, "multipliers=[1, 2]", "Left out: ['block3', 'head']", "not trained: []"),
        ),
        ({"multipliers": {"head": 1, "block3": 0}}, ("`multipliers`", "> 0", "multipliers=0")),
        ({"layer_decay": 0.5, "variables": []}, (*SOME, "variables=[]")),
        (
            {"layer_decay": 0.5, "variables": [keras.Variable(1.0, name="other")]},
            (*SOME, "variables=['other']"),
        ),
    ],
)
def test_wrong_arguments_are_refused(options, named):
    with pytest.raises(ValueError, match="Received") as caught:
        discriminative("sgd", frozen("block3"), **{"peak": 0.1, **options})
    assert_names(caught.value, *named)


def test_an_optimizer_that_cannot_be_given_rates_is_refused():
    trained = model()
    built = keras.optimizers.SGD(0.1)
    built.build(trained.trainable_variables)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1))
    grouped = discriminative("sgd", trained, peak=0.1, layer_decay=0.5)
    for optimizer, named in (
        (built, "`carry_moments`"),
        (scaled, "LossScaleOptimizer"),
        (grouped, "LossScaleOptimizer"),
        (None, "LossScaleOptimizer"),
    ):
        with pytest.raises(ValueError, match="Received") as caught:
            discriminative(optimizer, trained, peak=0.1, layer_decay=0.5)
        assert_names(caught.value, "`optimizer`", named)
    with pytest.raises(ValueError, match=r"`optimizer` must be 'adamw' or .* Did you mean 'adam"):
        discriminative("adamx", trained, peak=0.1, layer_decay=0.5)

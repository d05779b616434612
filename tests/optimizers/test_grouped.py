"""One optimizer with rates by group against an optimizer for each group, against formulas, and through Keras."""

import json

import keras
import numpy as np
import pytest

from kertl.optimizers import discriminative, discriminative_class
from tests.messages import assert_names
from tests.optimizers.grouped import array, examples, gradients, model, variables

# Arguments for each optimizer of Keras: a new one is tested as soon as it has an entry here.
EXAMPLES = {
    keras.optimizers.SGD: [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    keras.optimizers.RMSprop: [{}, {"momentum": 0.9, "centered": True}],
    keras.optimizers.Adam: [{}, {"amsgrad": True}],
    keras.optimizers.AdamW: [{}],
    keras.optimizers.Adamax: [{}],
    keras.optimizers.Nadam: [{}],
    keras.optimizers.Lamb: [{}],
    keras.optimizers.Lion: [{}],
    keras.optimizers.Muon: [{}, {"adam_weight_decay": 0.2}],
    keras.optimizers.Adadelta: [{}],
    keras.optimizers.Adagrad: [{}],
    keras.optimizers.ScheduleFreeAdamW: [{}],
    keras.optimizers.Adafactor: [{}, {"relative_step": False}],
    keras.optimizers.Ftrl: [{"l1_regularization_strength": 0.01, "beta": 0.1}],
}
CASES = [(kind, options) for kind, several in EXAMPLES.items() for options in several]
OTHER_STEPS = (keras.optimizers.Adafactor, keras.optimizers.Ftrl)
FACTORS = {"low": 0.25, "middle": 0.5, "head": 1.0}
GROUPS = ("low", "low", "middle", "head", "head")


def mixed(seed=0):
    """Five variables, a bias among them."""
    return [*variables(4, seed=seed), *variables(1, (3,), seed=seed + 1)]


def grouped(kind, rate, of, *, factors=None, undecayed=(), **options):
    made = discriminative_class(kind)(
        rate, group_multipliers=factors or FACTORS, variable_groups=GROUPS, undecayed=undecayed, **options
    )
    made.build(of)
    return made


def test_every_optimizer_of_keras_has_an_example_here():
    kind, many = keras.optimizers.Optimizer, ("Optimizer", "LossScaleOptimizer", "MultiOptimizer")
    found = {one for one in vars(keras.optimizers).values() if isinstance(one, type) and issubclass(one, kind)}
    assert {one for one in found if one.__name__ not in many} == set(EXAMPLES)


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_each_group_trains_as_by_an_optimizer_of_its_own(kind, options):
    together, alone = mixed(), mixed()
    options = {**options, "weight_decay": 0.125}
    one = grouped(kind, 0.0625, together, **options)
    own = {name: kind(0.0625 * factor, **options) for name, factor in FACTORS.items()}
    for name, optimizer in own.items():
        optimizer.build([v for v, group in zip(alone, GROUPS, strict=True) if group == name])
    for step in range(2):
        slopes = gradients(together, step)
        one.apply(slopes)
        for name, optimizer in own.items():
            optimizer.apply([g for g, group in zip(slopes, GROUPS, strict=True) if group == name])
    for a, b, before in zip(together, alone, mixed(), strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-6, atol=1e-7)
        assert not np.array_equal(array(a), array(before))
    assert int(one.iterations) == 2


@pytest.mark.parametrize(("kind", "options"), [case for case in CASES if case[0] not in OTHER_STEPS])
def test_a_first_step_is_the_multiplier_times_the_base_step(kind, options):
    factors = {"low": 0.01, "middle": 0.5, "head": 3.0}
    moved, base = [[keras.Variable(np.zeros(v.shape, "float32")) for v in mixed()] for _ in range(2)]
    options = {**options, "weight_decay": 0.0}
    grouped(kind, 0.01, moved, factors=factors, **options).apply(gradients(moved))
    plain = kind(0.01, **options)
    plain.build(base)
    plain.apply(gradients(base))
    for a, b, group in zip(moved, base, GROUPS, strict=True):
        np.testing.assert_allclose(array(a), factors[group] * array(b), rtol=1e-6)
        assert np.any(array(b))
        if group == "middle":
            np.testing.assert_array_equal(array(a), array(b) / 2)


def test_each_group_follows_the_schedule_at_its_own_height():
    rates = [1.0, 0.25, 0.125]
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0, 1], rates)
    of = mixed()
    optimizer = grouped(keras.optimizers.SGD, schedule, of)
    for rate in rates:
        assert float(optimizer.learning_rate) == rate
        before = [array(v) for v in of]
        optimizer.apply([keras.ops.ones(v.shape) for v in of])
        for v, old, group in zip(of, before, GROUPS, strict=True):
            np.testing.assert_allclose(array(v), old - rate * FACTORS[group], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(keras.optimizers.AdamW, {}), (keras.optimizers.SGD, {}), (keras.optimizers.Muon, {"adam_weight_decay": 0.1})],
)
def test_weight_decay_follows_the_rate_of_the_group_and_leaves_out_what_it_should(kind, options):
    of = mixed()
    decay = {"weight_decay": 0.1, **options}
    optimizer = grouped(kind, 0.5, of, undecayed=(1,), **decay)
    before = [array(v) for v in of]
    optimizer.apply([keras.ops.zeros(v.shape) for v in of])
    for place, (v, old, group) in enumerate(zip(of, before, GROUPS, strict=True)):
        share = 0 if place == 1 else 0.1 * 0.5 * FACTORS[group]
        np.testing.assert_allclose(array(v), old - old * share, rtol=1e-6)
    assert float(optimizer.learning_rate) == 0.5


def test_a_global_norm_is_that_of_all_groups_together():
    of = mixed()
    before, slopes = [array(v) for v in of], gradients(of)
    grouped(keras.optimizers.SGD, 0.5, of, global_clipnorm=0.1).apply(slopes)
    norm = np.sqrt(sum(np.sum(array(g) ** 2) for g in slopes))
    for v, old, g, group in zip(of, before, slopes, GROUPS, strict=True):
        np.testing.assert_allclose(array(v), old - 0.5 * FACTORS[group] * array(g) * 0.1 / norm, rtol=1e-5)


def test_the_average_of_the_weights_is_its_formula():
    of = mixed()
    optimizer = grouped(keras.optimizers.SGD, 0.5, of, use_ema=True, ema_momentum=0.75)
    averages = None
    for step in range(3):
        optimizer.apply(gradients(of, step))
        now = [array(v) for v in of]
        averages = now if averages is None else [0.75 * a + 0.25 * v for a, v in zip(averages, now, strict=True)]
    optimizer.finalize_variable_values(of)
    for v, average in zip(of, averages, strict=True):
        np.testing.assert_allclose(array(v), average, rtol=1e-5, atol=1e-6)


def test_accumulated_gradients_make_one_step_of_their_mean():
    of = mixed()
    optimizer = grouped(keras.optimizers.SGD, 0.5, of, gradient_accumulation_steps=2)
    before, slopes = [array(v) for v in of], [gradients(of, step) for step in (0, 1)]
    optimizer.apply(slopes[0])
    assert all(np.array_equal(array(v), old) for v, old in zip(of, before, strict=True))
    optimizer.apply(slopes[1])
    for v, old, first, second, group in zip(of, before, *slopes, GROUPS, strict=True):
        mean = (array(first) + array(second)) / 2
        np.testing.assert_allclose(array(v), old - 0.5 * FACTORS[group] * mean, rtol=1e-5, atol=1e-6)


def test_a_loss_scale_changes_no_step():
    of, scaled = mixed(), mixed()
    grouped(keras.optimizers.AdamW, 0.5, of).apply(gradients(of))
    outer = keras.optimizers.LossScaleOptimizer(grouped(keras.optimizers.AdamW, 0.5, scaled), initial_scale=1024.0)
    outer.build(scaled)
    outer.apply([g * 1024 for g in gradients(scaled)])
    assert outer.learning_rate is outer.inner_optimizer.learning_rate
    for a, b in zip(of, scaled, strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-6)


def test_a_fit_in_mixed_float16_scales_the_loss_and_moves_every_group():
    trained = model()
    for layer in trained._flatten_layers():
        layer.dtype_policy = "mixed_float16"
    optimizer = discriminative("adamw", trained, peak=0.01, layer_decay=0.5)
    before = [array(v) for v in trained.trainable_variables]
    scaled = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0)
    scaled.build(trained.trainable_variables)
    trained.compile(scaled, "mse")
    trained.fit(*examples(), batch_size=8, verbose=0)
    for v, old in zip(trained.trainable_variables, before, strict=True):
        group = "head" if "predictions" in v.path else v.path.split("/")[-2].split("_")[0]
        longest = 0.01 * optimizer.group_multipliers[group] * (1 + 0.004 * np.abs(old).max())
        assert 0 < np.abs(array(v) - old).max() <= 1.001 * longest


def test_who_sets_the_learning_rate_sets_it_for_all_groups():
    of = mixed()
    optimizer = grouped(keras.optimizers.SGD, 0.5, of)
    optimizer.learning_rate = 0.25
    before = [array(v) for v in of]
    optimizer.apply([keras.ops.ones(v.shape) for v in of])
    for v, old, group in zip(of, before, GROUPS, strict=True):
        np.testing.assert_allclose(array(v), old - 0.25 * FACTORS[group], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("callback", "rates"),
    [
        (keras.callbacks.LearningRateScheduler(lambda epoch: 0.5 / 2**epoch), [0.5, 0.25, 0.125]),
        (keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=1e9), [1.0, 1.0, 0.5]),
    ],
)
def test_the_callbacks_of_keras_set_the_rate(callback, rates):
    trained = model()
    trained.compile(discriminative("sgd", trained, peak=1.0, layer_decay=0.5), "mse")
    assert trained.fit(*examples(), epochs=3, callbacks=[callback], verbose=0).history["learning_rate"] == rates


def test_the_config_is_json_and_gives_the_same_optimizer():
    first = grouped(keras.optimizers.AdamW, 0.5, mixed(), undecayed=(1,), weight_decay=0.1)
    described = json.loads(json.dumps(keras.saving.serialize_keras_object(first)))
    again = keras.saving.deserialize_keras_object(described)
    assert type(again) is type(first)
    assert again.get_config() == first.get_config()
    a, b = mixed(), mixed()
    first = grouped(keras.optimizers.AdamW, 0.5, a, undecayed=(1,), weight_decay=0.1)
    again.build(b)
    for optimizer, of in ((first, a), (again, b)):
        optimizer.apply(gradients(of))
    assert all(np.array_equal(array(x), array(y)) for x, y in zip(a, b, strict=True))


def test_a_run_taken_up_from_the_variables_goes_on_with_the_same_bits():
    of, later = mixed(), mixed()
    whole, again = (grouped(keras.optimizers.AdamW, 0.5, one) for one in (of, later))
    whole.apply(gradients(of, 1))
    for variable, value in zip((*later, *again.variables), (*of, *whole.variables), strict=True):
        variable.assign(array(value))
    for optimizer in (whole, again):
        optimizer.apply(gradients(of, 2))
    assert all(np.array_equal(array(a), array(b)) for a, b in zip(of, later, strict=True))


def test_it_has_no_variables_but_those_of_its_class():
    plain = keras.optimizers.AdamW(0.5)
    plain.build(mixed())
    shapes = [tuple(v.shape) for v in plain.variables]
    assert [tuple(v.shape) for v in grouped(keras.optimizers.AdamW, 0.5, mixed()).variables] == shapes


def test_another_number_of_variables_is_refused():
    optimizer = discriminative_class(keras.optimizers.SGD)(
        0.1, group_multipliers={"head": 1.0}, variable_groups=["head"], undecayed=[]
    )
    with pytest.raises(ValueError, match="Received") as caught:
        optimizer.build(mixed())
    assert_names(caught.value, "`variables`", "1", "variables=5")

import random

import keras
import numpy as np
import pytest

import kertl
from kertl.range_test._ramp import Ramp
from tests.marks import some_of
from tests.messages import assert_names
from tests.range_test.models import assert_same, compiled, examples, state, trained
from tests.runs import classifier, squares, values, weights

QUICK = {"steps": 20, "start": 1e-4, "end": 30.0}

OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(1e-3),
    "a schedule": lambda: keras.optimizers.SGD(kertl.schedules.OneCycle(0.1, 50), momentum=0.9),
    "loss scale and schedule": lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 90))
    ),
    "averages": lambda: keras.optimizers.Adam(1e-3, use_ema=True),
}


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(OPTIMIZERS, "adam"))
def test_everything_is_as_before_and_training_goes_on_as_if_there_had_been_no_test(name):
    model, twin = trained(OPTIMIZERS[name]()), trained(OPTIMIZERS[name]())
    before = state(model)
    test = kertl.lr_range_test(model, examples(), **QUICK)
    assert_same(model, before)
    assert len(test.losses) > 3
    for one in (model, twin):
        keras.utils.set_random_seed(1)
        one.fit(*examples(), batch_size=16, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(values(model.variables), values(twin.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_optimizer_that_has_made_no_step_is_built_as_it_begins():
    model, twin = compiled("adam"), compiled("adam")
    kertl.lr_range_test(model, examples(), **QUICK)
    assert int(model.optimizer.iterations) == 0
    assert model.train_function is None
    assert not hasattr(model, "history")
    for one in (model, twin):
        one.fit(*examples(), batch_size=16, shuffle=False, verbose=0)
    for a, b in zip(values(model.variables), values(twin.variables), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_rates_of_a_multi_optimizer_keep_their_ratio(monkeypatch):
    low, high = keras.optimizers.SGD(lambda: 0.01), keras.optimizers.SGD(kertl.schedules.OneCycle(25.0, 50))
    mapping = keras.optimizers.OptimizerMap(high)
    mapping["batch_normalization.*"] = low
    model = compiled(keras.optimizers.MultiOptimizer(mapping))
    before = float(high.learning_rate)
    seen = []
    kept = Ramp.on_train_batch_end
    monkeypatch.setattr(
        Ramp,
        "on_train_batch_end",
        lambda self, *_, **__: (seen.append([float(o.learning_rate) for o in (low, high)]), kept(self, *_, **__)),
    )
    test = kertl.lr_range_test(model, examples(), **QUICK)
    found = np.array(seen[: len(test.learning_rates)])
    np.testing.assert_allclose(found[:, 1], test.learning_rates, rtol=1e-5)
    np.testing.assert_allclose(found[:, 0] / found[:, 1], 0.01 / before, rtol=1e-5)
    assert float(high.learning_rate) == before
    assert isinstance(high._learning_rate, kertl.schedules.OneCycle)
    assert low.learning_rate == 0.01


class Failing(keras.utils.PyDataset):
    """Raises in the middle."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __len__(self):
        return 30

    def __getitem__(self, index):
        raise self.error


@pytest.mark.parametrize("name", ["adam", "a schedule"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("enough")])
def test_everything_is_as_before_after_an_exception(name, error, monkeypatch):
    model = trained(OPTIMIZERS[name]())
    before = state(model)
    kept = Ramp.on_train_batch_end

    def stop(self, batch, logs=None):
        kept(self, batch, logs)
        if batch == 7:
            raise error

    monkeypatch.setattr(Ramp, "on_train_batch_end", stop)
    with pytest.raises(type(error)):
        kertl.lr_range_test(model, examples(), **QUICK)
    assert_same(model, before)


def test_everything_is_as_before_after_an_exception_in_the_data():
    model = trained("adam")
    before = state(model)
    with pytest.raises(Exception, match="enough"):
        kertl.lr_range_test(model, Failing(RuntimeError("enough")), **QUICK)
    assert_same(model, before)


@pytest.mark.promise
@pytest.mark.slow
def test_a_test_is_the_same_again_and_each_repeat_is_another():
    model = compiled("adam")
    first, again = (kertl.lr_range_test(model, examples(), repeats=2, **QUICK) for _ in range(2))
    for a, b in zip(first.runs, again.runs, strict=True):
        np.testing.assert_array_equal(a.raw_losses, b.raw_losses)
    assert first.runs[0].raw_losses[0] != first.runs[1].raw_losses[0]
    assert first.runs[0].standing[0] == pytest.approx(first.runs[0].raw_losses[0])


def test_losses_are_those_of_a_plain_loop():
    model = compiled("sgd", metrics=None)
    x, y = examples(64)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    for layer in (*model.layers, *twin.layers):
        layer.rate = 0.0  # of dropout
    twin.compile("sgd", "sparse_categorical_crossentropy")
    test = kertl.lr_range_test(model, (x, y), batch_size=16, seed=3, steps=20, start=1e-3, end=1.0)
    rates = 1e-3 * 1000 ** (np.arange(20) / 19)
    losses = []
    for step, rate in enumerate(rates):
        order = np.random.default_rng((3, step // 4)).permutation(64)[step % 4 * 16 :][:16]
        twin.optimizer.learning_rate = rate
        losses.append(float(twin.train_on_batch(x[order], y[order])))
    np.testing.assert_allclose(test.learning_rates, rates, rtol=1e-6)
    np.testing.assert_allclose(test.raw_losses, losses, rtol=1e-4)
    mean = 0.0
    for step, loss in enumerate(losses, start=1):
        mean = 0.95 * mean + 0.05 * loss
        assert test.losses[step - 1] == pytest.approx(mean / (1 - 0.95**step), rel=1e-4)


def test_a_linear_ramp_is_straight():
    test = kertl.lr_range_test(compiled("sgd"), examples(), steps=21, start=0.1, end=2.1, ramp="linear")
    np.testing.assert_allclose(test.learning_rates, np.linspace(0.1, 2.1, 21))


def test_the_test_stops_where_the_loss_diverges_or_is_no_number():
    x, y = examples()
    linear = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    linear.compile("sgd", "mse")
    far = kertl.lr_range_test(linear, (x, y), divergence=2)
    assert 10 < len(far.losses) < 100
    best = np.minimum.accumulate(far.losses[10:])
    assert [loss > 2 * low for loss, low in zip(far.losses[10:], best, strict=True)].index(True) == len(best) - 1
    x[50] = np.nan
    test = kertl.lr_range_test(linear, (x, y), batch_size=16, steps=20)
    assert len(test.losses) < 6
    assert np.isfinite(test.losses).all()
    assert test.suggestion is None


def test_a_loss_below_zero_is_no_divergence():
    x, _ = examples()
    model = compiled("sgd", loss="cosine_similarity", metrics=None)
    assert len(kertl.lr_range_test(model, (x, np.ones((96, 2), "float32")), steps=30, end=0.1).losses) == 30


@pytest.mark.parametrize("dtype", some_of(["mixed_bfloat16", "mixed_float16"], "mixed_float16"))
def test_half_precision_works(dtype):
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()) if dtype == "mixed_float16" else "adam"
    model = trained(optimizer, dtype=dtype)
    before = state(model)
    assert kertl.lr_range_test(model, examples(256)).suggestion > 1e-6
    assert_same(model, before)


def test_several_steps_per_execution_work():
    model = trained("adam", steps_per_execution=4)
    before = state(model)
    assert len(kertl.lr_range_test(model, examples(), **QUICK).losses) <= 5
    assert_same(model, before)


class Sequence(keras.utils.PyDataset):
    """Somebody's own data set, which counts how it is used."""

    def __init__(self):
        super().__init__()
        self.asked, self.epochs = [], 0

    def __len__(self):
        return 6

    def __getitem__(self, index):
        self.asked.append(index)
        return tuple(part[16 * index : 16 * (index + 1)] for part in examples())

    def on_epoch_end(self):
        self.epochs += 1


def test_any_data_set_is_gone_through_as_often_as_it_takes():
    data = Sequence()
    test = kertl.lr_range_test(compiled("adam"), data, steps=20, end=1e-3)
    assert len(test.losses) == 20
    assert sorted(set(data.asked)) == list(range(6))
    assert data.epochs == 0


def test_a_tf_dataset_is_gone_through_as_often_as_it_takes():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(examples()).batch(16)
    test = kertl.lr_range_test(compiled("adam"), data, steps=20, end=1e-3)
    assert len(test.losses) == 20
    assert test.runs[0].standing is None


def test_class_weights_count_in_the_loss():
    model, data = compiled("adam"), examples()
    one, two = (kertl.lr_range_test(model, data, class_weight=w, **QUICK) for w in (None, {0: 2.0, 1: 2.0}))
    assert two.raw_losses[0] == pytest.approx(2 * one.raw_losses[0], rel=1e-5)


@pytest.mark.promise
@pytest.mark.slow
def test_a_model_that_is_not_compiled_is_tested_with_the_loss_of_its_task_and_stays_so():
    data, model = squares(), classifier()
    before = weights(model)
    test = kertl.lr_range_test(model, data.train, steps=20)
    assert not model.compiled
    assert data.train.epoch == 0
    assert all(np.array_equal(before[path], value) for path, value in weights(model).items())
    assert 0.5 < test.raw_losses[0] < 3


def test_a_stage_is_tested_with_what_lies_behind_its_boundary():
    data, model = squares(), classifier()
    stage = kertl.stage_model(model, at="deep")
    before = weights(model)
    kertl.lr_range_test(stage, data.train, steps=20)
    assert all(np.array_equal(before[path], value) for path, value in weights(model).items())


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"start": 0}, ("`start`", "> 0", "start=0")),
        ({"start": float("nan")}, ("`start`", "> 0", "start=nan")),
        ({"start": 1.0, "end": 1.0}, ("`end`", "> 1.0", "end=1.0")),
        ({"steps": 19}, ("`steps`", ">= 20", "steps=19")),
        ({"ramp": "linea"}, ("`ramp`", "'exponential'", "ramp='linea'", "Did you mean 'linear'")),
        ({"smoothing": 1}, ("`smoothing`", ">= 0", "< 1", "smoothing=1")),
        ({"divergence": 1}, ("`divergence`", "> 1", "divergence=1")),
        ({"repeats": 0}, ("`repeats`", ">= 1", "repeats=0")),
        ({"seed": -1}, ("`seed`", ">= 0", "seed=-1")),
        ({"batch_size": 0}, ("`batch_size`", ">= 1", "batch_size=0")),
        ({"data": "photos"}, ("`data`", "PyDataset", "tf.data.Dataset", "(x, y)", "data='str'")),
        ({"data": (np.zeros((3, 8)), np.zeros(2))}, ("`data`", "data=[3, 2]")),
    ],
)
def test_a_wrong_argument_is_refused(options, named):
    data = options.pop("data", examples())
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.lr_range_test(compiled("sgd"), data, **options)
    assert_names(caught.value, *named)


def test_a_model_without_weights_is_refused():
    model = keras.Sequential([keras.layers.Dense(2)], name="empty")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"model='empty'.*`compile`"):
        kertl.lr_range_test(model, examples())


def test_what_draws_from_the_global_generators_is_as_before(monkeypatch):
    def drawn():
        return float(keras.random.uniform(())), float(np.random.random()), random.random()  # noqa: NPY002

    kept = Ramp.on_train_batch_end
    monkeypatch.setattr(Ramp, "on_train_batch_end", lambda *args, **logs: (drawn(), kept(*args, **logs)))
    model = compiled("sgd")
    found = []
    for test in (False, True):
        keras.utils.set_random_seed(5)
        drawn()
        if test:
            kertl.lr_range_test(model, examples(), **QUICK)
        found.append(drawn())
    assert found[0] == found[1]

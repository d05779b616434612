import math

import keras
import numpy as np
import pytest

from kertl.callbacks import MomentumCycle
from kertl.optimizers import discriminative_class
from kertl.schedules import OneCycle
from tests.messages import assert_names
from tests.optimizers.grouped import array

STEPS = 10
RATE = 0.01


def cycle(step, high=0.95, low=0.85, warmup=0.3):
    """fastai's `combined_cos` of high, low and high, for one step of ten."""
    done = step / STEPS
    start, end, share = (high, low, done / warmup) if done < warmup else (low, high, (done - warmup) / (1 - warmup))
    return start + (1 + math.cos(math.pi * (1 - share))) * (end - start) / 2


class Weights(keras.callbacks.Callback):
    """The weights and the optimizer's moments after each step."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        self.rows.append([array(v) for v in (*self.model.trainable_variables, *self.model.optimizer.variables)])


def line():
    """A model of one weight whose loss has the slope 1 everywhere."""
    trained = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    return trained, lambda true, predicted: keras.ops.mean(predicted)


def trajectory(optimizer, *callbacks, steps=STEPS, of=None):
    trained, loss = of or line()
    if optimizer is not None:
        trained.compile(optimizer, loss)
    weights, ones = Weights(), np.ones((steps, 1), "float32")
    trained.fit(ones, ones, batch_size=1, callbacks=[*callbacks, weights], verbose=0)
    return [float(row[0].squeeze()) for row in weights.rows]


def sgd(momenta, nesterov):
    """Sutskever et al., "On the importance of initialization and momentum", 2013, as Keras writes it."""
    weight, velocity, rows = 0.0, 0.0, []
    for momentum in momenta:
        velocity = momentum * velocity - RATE
        weight += momentum * velocity - RATE if nesterov else velocity
        rows.append(weight)
    return rows


def rmsprop(momenta, rho=0.9, epsilon=1e-7):
    weight, velocity, mean, rows = 0.0, 0.0, 0.0, []
    for momentum in momenta:
        mean = rho * mean + (1 - rho)
        velocity = momentum * velocity + RATE / math.sqrt(mean + epsilon)
        weight -= velocity
        rows.append(weight)
    return rows


def adam(momenta, beta_2=0.999, epsilon=1e-7):
    """Kingma & Ba, "Adam", 2015, algorithm 1, with the first momentum of the step."""
    weight, m, v, rows = 0.0, 0.0, 0.0, []
    for step, beta in enumerate(momenta, start=1):
        m, v = beta * m + (1 - beta), beta_2 * v + (1 - beta_2)
        alpha = RATE * math.sqrt(1 - beta_2**step) / (1 - beta**step)
        weight -= alpha * m / (math.sqrt(v) + epsilon)
        rows.append(weight)
    return rows


def halved(rate, **options):
    kind = discriminative_class(keras.optimizers.SGD)
    return kind(rate, group_multipliers={"all": 0.5}, variable_groups=["all"], undecayed=[], **options)


CASES = {
    "sgd": (lambda: keras.optimizers.SGD(RATE, momentum=0.9), lambda momenta: sgd(momenta, False)),
    "nesterov": (lambda: keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True), lambda momenta: sgd(momenta, True)),
    "rmsprop": (lambda: keras.optimizers.RMSprop(RATE, momentum=0.9), rmsprop),
    "adam": (lambda: keras.optimizers.Adam(RATE), adam),
    "adamw": (lambda: keras.optimizers.AdamW(RATE, weight_decay=0.0), adam),
    "scaled": (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(RATE), initial_scale=8.0), adam),
    "by group": (lambda: halved(RATE, momentum=0.9), lambda momenta: [w / 2 for w in sgd(momenta, False)]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_momentum_of_each_step_is_that_of_the_formula(name):
    make, formula = CASES[name]
    expected = formula([cycle(step) for step in range(STEPS)])
    assert trajectory(make(), MomentumCycle(OneCycle(1.0, STEPS))) == pytest.approx(expected, rel=1e-4)
    assert formula([0.9] * STEPS) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("kind", ["Nadam", "Lamb", "Lion", "Muon"])
def test_every_other_optimizer_with_momentum_takes_part(kind):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")

    def fit(*callbacks):
        trained = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, kernel_initializer="ones")])
        trained.compile(getattr(keras.optimizers, kind)(0.1), "mse")
        trained.fit(x, x[:, :2], batch_size=1, callbacks=callbacks, shuffle=False, verbose=0)
        return [array(v) for v in trained.trainable_variables]

    moved, still = fit(MomentumCycle(OneCycle(1.0, 8), low=0.1)), fit()
    assert np.abs(moved[0] - still[0]).max() > 1e-3


def test_a_train_step_made_before_is_made_anew_and_so_is_the_one_behind():
    of, optimizer = line(), keras.optimizers.SGD(RATE, momentum=0.9)
    before = trajectory(optimizer, steps=3, of=of)
    assert before == pytest.approx(sgd([0.9] * 3, False), rel=1e-4)
    callback = MomentumCycle(OneCycle(1.0, STEPS))
    trajectory(None, callback, steps=4, of=of)
    after = trajectory(None, steps=3, of=of)
    momenta = [*[0.9] * 3, *(cycle(step) for step in range(3, 7)), *[0.9] * 3]
    assert after == pytest.approx(sgd(momenta, False)[-3:], rel=1e-4)


def test_the_optimizer_is_as_it_was_between_the_steps_and_afterwards():
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append((self.model.optimizer.get_config(), len(self.model.optimizer.variables)))

    of, optimizer = line(), keras.optimizers.Adam(RATE)
    optimizer.build(of[0].trainable_variables)
    before = (optimizer.get_config(), len(optimizer.variables))
    trajectory(optimizer, MomentumCycle(OneCycle(1.0, STEPS)), Look(), of=of)
    assert seen == [before] * STEPS
    assert "apply" not in vars(optimizer)
    assert type(optimizer.beta_1) is float


def test_a_run_that_is_taken_up_goes_on_with_the_momentum_of_its_step():
    callback = MomentumCycle(OneCycle(1.0, STEPS))
    whole = trajectory(keras.optimizers.Adam(RATE), callback)
    of, optimizer = line(), keras.optimizers.Adam(RATE)
    first = trajectory(optimizer, callback, steps=4, of=of)
    state = [array(v) for v in (*of[0].variables, *optimizer.variables)]
    later, again = line(), keras.optimizers.Adam(RATE)
    again.build(later[0].trainable_variables)
    for variable, value in zip((*later[0].variables, *again.variables), state, strict=True):
        variable.assign(value)
    assert [*first, *trajectory(again, MomentumCycle(OneCycle(1.0, STEPS)), steps=STEPS - 4, of=later)] == whole


def test_a_fit_that_ended_by_an_exception_does_not_disturb_the_next_cycle():
    class Break(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    of, optimizer = line(), keras.optimizers.SGD(RATE, momentum=0.9)
    with pytest.raises(KeyboardInterrupt):
        trajectory(optimizer, MomentumCycle(OneCycle(1.0, STEPS), high=0.5, low=0.1), Break(), of=of)
    for variable in (*of[0].variables, *optimizer.variables[:1], *optimizer.momentums):
        variable.assign(np.zeros(variable.shape))
    rows = trajectory(None, MomentumCycle(OneCycle(1.0, STEPS)), of=of)
    assert rows == pytest.approx(sgd([cycle(step) for step in range(STEPS)], False), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: MomentumCycle(0.1), ("`schedule`", "kertl.schedules.OneCycle", "schedule=0.1")),
        (lambda: MomentumCycle(OneCycle(1, 9), high=1.0), ("`high`", "> 0", "< 1", "high=1.0")),
        (lambda: MomentumCycle(OneCycle(1, 9), low=0.0), ("`low`", "> 0", "<= 0.95", "low=0.0")),
    ],
)
def test_wrong_arguments_are_refused(make, named):
    with pytest.raises(ValueError, match="Received") as caught:
        make()
    assert_names(caught.value, *named)


@pytest.mark.parametrize("kind", ["SGD", "Adagrad", "ScheduleFreeAdamW"])
def test_an_optimizer_without_momentum_is_refused_before_training(kind):
    with pytest.raises(ValueError, match="Received") as caught:
        trajectory(getattr(keras.optimizers, kind)(RATE), MomentumCycle(OneCycle(1.0, STEPS)))
    assert_names(caught.value, "`optimizer`", "`beta_1`", f"optimizer={kind!r}", "SGD(momentum=0.9)")

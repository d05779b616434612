import keras
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy

import kertl
from kertl.training import (
    DISTANCES,
    Learner,
    ReverseGradient,
    coral_loss,
    entropy_loss,
    mmd_loss,
    train_on_domains,
    train_on_entropy,
)
from tests.adaptation.domains import dimmed, pictures, source
from tests.runs import NAMES, python, same, tiny, weights
from tests.training.two_domains import surer, verdict


def samples(width=4):
    random = np.random.default_rng(0)
    first, second = random.normal(3, 2, (30, width)), random.normal(-1, 1.5, (20, width))
    return first.astype("float32"), second.astype("float32")


def gradient(function, value):
    import tensorflow as tf

    variable = tf.Variable(value)
    with tf.GradientTape() as tape:
        loss = function(variable)
    return tape.gradient(loss, variable).numpy()


def test_coral_loss_is_the_frobenius_norm_of_numpys_covariances():
    a, b = samples()
    expected = np.linalg.norm(np.cov(a.T) - np.cov(b.T)) ** 2 / (4 * 4**2)
    assert float(coral_loss(a, b)) == pytest.approx(expected, rel=1e-4)


def test_mmd_loss_is_that_of_scipys_distances():
    a, b = samples()
    both = np.concatenate([a, b]).astype(float)
    squares = cdist(both, both, "sqeuclidean")
    kernel = np.mean([np.exp(-squares / (share * squares.mean())) for share in (0.25, 0.5, 1, 2, 4)], axis=0)
    n = len(a)
    expected = kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
    assert float(mmd_loss(a, b)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scores", [[[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]], [[0.3], [0.9]]])
def test_entropy_loss_is_scipys_entropy(scores):
    scores = np.array(scores, "float32")
    both = np.concatenate([1 - scores, scores], axis=1) if scores.shape[1] == 1 else scores
    assert np.asarray(entropy_loss(None, scores)) == pytest.approx(entropy(both, axis=1), abs=1e-5)


@pytest.mark.parametrize("strength", [0.0, 0.7, 1.0])
def test_the_gradient_is_that_of_the_negated_loss(strength):
    value = samples()[0]
    layer = ReverseGradient(strength)
    assert np.array_equal(np.asarray(layer(value)), value)

    def loss(x):
        return keras.ops.sum(keras.ops.sin(x) * x)

    through, negated = gradient(lambda x: loss(layer(x)), value), gradient(lambda x: -strength * loss(x), value)
    assert through == pytest.approx(negated, abs=1e-6)


def test_a_model_with_a_reversed_gradient_is_saved_and_loaded_with_its_strength(tmp_path):
    model = keras.Sequential([keras.Input((4,)), ReverseGradient(0.5), keras.layers.Dense(1)])
    model.layers[0].strength.assign(0.25)
    model.save(tmp_path / "reversed.keras")
    again = keras.models.load_model(tmp_path / "reversed.keras")
    value = samples()[0]
    assert float(again.layers[0].strength) == 0.25
    assert again.predict(value, verbose=0) == pytest.approx(model.predict(value, verbose=0))
    through = gradient(lambda x: keras.ops.sum(again.layers[0](x)), value)
    assert through == pytest.approx(np.full_like(value, -0.25))


@pytest.mark.parametrize("distance", DISTANCES)
def test_what_tells_the_domains_apart_is_used_less_and_the_model_stays_what_it_was(distance):
    assert verdict(distance) == (True, True, 2, 3)


@pytest.mark.slow
def test_it_is_the_same_on_jax():
    code = f"""
        from tests.training.two_domains import surer, verdict

        print([verdict(distance) for distance in {DISTANCES}], surer())
    """
    assert python(code, KERAS_BACKEND="jax").strip() == f"{[(True, True, 2, 3)] * 3} (True, ['beta', 'gamma'])"


def test_scales_and_offsets_make_predictions_surer():
    assert surer() == (True, ["beta", "gamma"])


def test_an_unknown_distance_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, activation="softmax")])
    rows = np.zeros((4, 2), "float32")
    with pytest.raises(ValueError, match="`distance` must be 'coral' or 'mmd' or 'adversarial'"):
        train_on_domains(
            Learner.of(model, "single_label"),
            kertl.Stage("full", epochs=1, augment="none"),
            rows,
            np.zeros(4),
            rows,
            distance="corral",
            weight=1.0,
        )
    assert DISTANCES == ("coral", "mmd", "adversarial")


def test_training_on_entropy_moves_scales_and_offsets_alone_and_makes_predictions_surer():
    model = tiny()
    data = source()
    stage = kertl.Stage("full", epochs=6, learning_rate=0.01, batch_norm="train", augment="none")
    model = kertl.fine_tune(model, data, recipe=stage, verbose=0).model  # BatchNorm has adapted statistics
    x = dimmed().train.in_order()
    before = weights(model)
    sure = entropy(kertl.predict(model, pictures(x)), axis=1).mean()
    train_on_entropy(Learner.of(model, "single_label"), x)
    moved = {path for path, equal in same(before, weights(model)).items() if not equal}
    assert moved
    assert all(path.endswith(("/gamma", "/beta")) for path in moved)
    assert entropy(kertl.predict(model, pictures(x)), axis=1).mean() < sure
    assert model.output_shape == (None, len(NAMES))

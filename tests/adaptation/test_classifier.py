import keras
import numpy as np
import pytest

import kertl
from kertl._domains import Classifier
from kertl.adaptation import SourceFeatures
from tests.adaptation.domains import dimmed, pictures, source
from tests.families import tiny_backbone
from tests.runs import NAMES, tiny


@pytest.fixture(scope="module")
def x():
    return pictures(dimmed(per_class=8).train)


def two_classes(per_class=20):
    data = source(per_class=per_class)
    chosen = np.flatnonzero(np.asarray(data.train.labels) < 2)
    labels = np.asarray(data.train.labels)[chosen]
    return kertl.data.from_arrays(
        pictures(data.train)[chosen], labels, class_names=NAMES[:2], task="binary", validation=0, test=0
    )


@pytest.mark.parametrize("head", [{}, {"hidden_units": (8,), "batch_norm": True}, {"pooling": "max"}])
def test_features_and_the_last_layer_give_what_the_model_gives(head, x):
    model = tiny(**head)
    view = Classifier(model)
    plain = kertl.predict(model, x)
    assert view.probabilities(view.scores(view.features(x))) == pytest.approx(plain, abs=1e-5)
    again = view.with_head(view.kernel, view.bias)
    assert kertl.predict(again, x) == pytest.approx(plain, abs=1e-6)
    assert kertl.model.model_info(again) == kertl.model.model_info(model)
    other = view.with_head(view.kernel * 2, view.bias)
    assert kertl.predict(model, x) == pytest.approx(plain, abs=1e-6)
    assert np.abs(kertl.predict(other, x) - plain).max() > 1e-3


@pytest.mark.parametrize("method", ["restyle", "align", "prior", "pseudo", "mmd", "dann"])
def test_a_model_with_one_output_for_two_classes_is_adapted(method, x):
    keras.utils.set_random_seed(0)
    model = kertl.build(tiny_backbone(), class_names=NAMES[:2], task="binary")
    data = two_classes()
    found = kertl.adapt(model, x, source=data, method=method)
    assert found.model.output_shape == (None, 1)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert np.isfinite(kertl.predict(found.model, x)).all()
    if method == "prior":
        before, now = Classifier(model), Classifier(found.model)
        odds = found.shares["green"] / found.shares["blue"]
        floor = np.log(max(found.shares["green"], 1e-3) / max(found.shares["blue"], 1e-3))
        assert now.bias[0] - before.bias[0] == pytest.approx(
            np.log(odds) if min(found.shares.values()) > 1e-3 else floor
        )


def test_the_key_follows_the_weights_that_features_depend_on():
    model = tiny(hidden_units=(8,))
    view = Classifier(model)
    key = view.key()
    assert Classifier(view.with_head(view.kernel * 2, view.bias)).key() == key
    hidden = next(layer for layer in model.layers[::-1] if layer.weights and layer is not view.last.dense)
    hidden.set_weights([weight + 0.1 for weight in hidden.get_weights()])
    assert Classifier(model).key() != key


def test_adabn_on_the_source_itself_changes_little():
    from kertl.adaptation._batch_norm import adapted_batch_norm

    model, data = tiny(), source(per_class=40)
    images = data.train.in_order()
    x = pictures(images)
    change = np.abs(kertl.predict(adapted_batch_norm(model, images, images), x) - kertl.predict(model, x)).max()
    without = np.abs(kertl.predict(adapted_batch_norm(model, images), x) - kertl.predict(model, x)).max()
    assert change < 0.02
    assert change < without


def test_adabn_holds_the_statistics_that_the_formula_gives_for_one_layer():
    from kertl.adaptation._batch_norm import adapted_batch_norm

    layers = [keras.Input((4, 4, 3)), keras.layers.BatchNormalization(), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(2, activation="softmax")])
    random = np.random.default_rng(0)
    a, b = (random.integers(low, low + 80, (120, 4, 4, 3), dtype="uint8") for low in (0, 100))
    first, second = (kertl.studies.domain_images("target", model, one) for one in (a, b))
    norm = adapted_batch_norm(model, second, first).layers[1]
    means, variances = [one.mean(axis=(0, 1, 2)) for one in (a, b)], [one.var(axis=(0, 1, 2)) for one in (a, b)]
    share = 16 / (16 + 120)
    mean, variance = share * means[0] + (1 - share) * means[1], share * variances[0] + (1 - share) * variances[1]
    ratio = (variance + 1e-3) / (variances[0] + 1e-3)
    assert np.asarray(norm.moving_variance) == pytest.approx((1 + 1e-3) * ratio - 1e-3, rel=1e-4)
    assert np.asarray(norm.moving_mean) == pytest.approx(mean - means[0] * np.sqrt(ratio), rel=1e-3)


def test_adabn_without_batch_norm_is_refused(x):
    layers = [keras.Input((32, 32, 3)), keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    model = kertl.model.describe(model, class_names=NAMES, preprocessing="none")
    with pytest.raises(ValueError, match="has no BatchNorm"):
        kertl.adapt(model, x, method="adabn")


def test_source_features_of_few_images_use_the_usual_strength():
    known = SourceFeatures(np.eye(4, dtype="float32"), np.array([0, 1, 0, 1]), ("a", "b"), "")
    assert known.strength == 1.0

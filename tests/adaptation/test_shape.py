"""Whether the shift or other shares of classes made a model predict others: what the shape of its scores tells."""

import keras
import numpy as np
import pytest

import kertl
from kertl._domains import Classifier, SourceFeatures
from kertl.adaptation._auto import choose
from kertl.adaptation._methods import Domains, restyled
from kertl.adaptation._shape import shares_by_shape
from kertl.probes import solve

WIDTH = 12
SHARES = (0.7, 0.3)


def drawn(count, shares, seed):
    """Features of two classes that are two standard deviations apart in three of twelve directions."""
    random = np.random.default_rng(seed)
    labels = np.sort(random.permutation(np.repeat([0, 1], np.round(np.multiply(shares, count)).astype(int))))
    rows = random.normal(size=(len(labels), WIDTH)) + 2.0 * labels[:, None] * (np.arange(WIDTH) < 3)
    return rows.astype("float32"), labels


def shifted(rows):
    """What an instrument with another gain and offset gives: all of it looks like the second class."""
    return (1.5 * rows + 6.0).astype("float32")


def view(rows, labels, link):
    layers = [keras.Input((1, 1, WIDTH)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, "softmax")]
    if link == "sigmoid":
        layers[-1] = keras.layers.Dense(1, "sigmoid")
    model = keras.Sequential(layers)
    targets = np.eye(2)[labels] if link == "softmax" else labels[:, None].astype(float)
    head = solve(rows, targets, link=link, strengths=[0.1])
    model.set_weights([head.kernel, head.bias])
    task = "single_label" if link == "softmax" else "binary"
    return Classifier(kertl.model.describe(model, class_names=["good", "bad"], preprocessing="none", task=task))


@pytest.fixture(scope="module", params=["softmax", "sigmoid"])
def known(request):
    rows, labels = drawn(600, SHARES, 0)
    classifier = view(rows, labels, request.param)
    return classifier, SourceFeatures(rows, labels, classifier.names, "")


def domains_of(known, shares, change=shifted):
    rows, labels = drawn(500, shares, 1)
    return Domains(known[0], change(rows), known[1]), labels


def roughly_shifted(rows):
    """The same, and features that do not tell the classes apart move together: more than a location and a scale."""
    return shifted(np.concatenate([rows[:, :6], rows[:, 6:7] + 0.1 * rows[:, 6:]], axis=1))


def accuracy(domains, labels, kernel, bias):
    said = domains.classifier.probabilities(domains.target @ kernel + bias).argmax(axis=1)
    return float(np.mean(said == labels))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.8])
def test_shares_are_found_although_the_model_predicts_one_class_alone(known, share):
    domains, _ = domains_of(known, (1 - share, share))
    found = shares_by_shape(domains, np.array([0.02, 0.98]))
    assert found.shares[1] == pytest.approx(share, abs=0.12)
    assert found.distance < 0.07
    assert (found.of_source <= found.distance + 0.02) == (share == 0.3)


def test_shapes_that_fit_no_shares_stay_apart(known):
    rows, _ = drawn(500, SHARES, 1)
    other = np.random.default_rng(2).exponential(size=rows.shape) ** 2
    assert shares_by_shape(Domains(known[0], other, known[1]), np.array([0.02, 0.98])).distance > 0.07


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_auto_adapts_to_the_fitted_shares_where_these_and_alignment_explain_the_shift(known, share):
    domains, labels = domains_of(known, (1 - share, share))
    found = choose(domains, 0)
    assert found.method == "restyle"
    assert "aligned and with fitted shares they do not" in found.reason
    assert found.solved.shares[1] == pytest.approx(share, abs=0.12)
    assert accuracy(domains, labels, found.solved.kernel, found.solved.bias) > 0.85


def test_fitted_shares_keep_a_target_of_other_shares_from_being_harmed(known):
    domains, labels = domains_of(known, (0.2, 0.8))
    plain, found = restyled(domains), choose(domains, 0).solved
    gained = accuracy(domains, labels, found.kernel, found.bias) - accuracy(domains, labels, plain.kernel, plain.bias)
    assert gained > 0.05


def test_auto_adapts_where_the_shape_fits_the_shares_of_the_source(known):
    domains, labels = domains_of(known, SHARES, roughly_shifted)
    found = choose(domains, 0)
    assert found.method == "restyle"
    assert "the shape of the scores fits the source's shares" in found.reason
    assert accuracy(domains, labels, known[0].kernel, known[0].bias) < 0.5
    assert accuracy(domains, labels, found.solved.kernel, found.solved.bias) > 0.85


def test_auto_does_nothing_where_the_shape_fits_other_shares_and_more_differs(known):
    domains, _ = domains_of(known, (0.2, 0.8), roughly_shifted)
    found = choose(domains, 0)
    assert found.method == "none"
    assert "far from the source's" in found.reason

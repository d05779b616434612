"""Linear heads that are solved: against scikit-learn, and whichever way is taken to the minimum."""

import keras
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from kertl.probes import STRENGTHS, _exact, solve
from kertl.probes._exact import loss_of_scores


def problem(count=60, features=12, classes=3, seed=0):
    """Features of very different scales, whose classes overlap."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    rows = random.normal(size=(count, features)) + random.normal(size=(classes, features))[labels] * 0.7
    return (rows * random.uniform(0.3, 30, features) + 5).astype("float32"), labels


def by_sklearn(rows, labels, strength, weights=None):
    scaler = StandardScaler().fit(rows.astype("float64"))
    model = LogisticRegression(C=1 / (strength * len(rows)), tol=1e-10, max_iter=10_000)
    if weights is not None:
        model.C = 1 / (strength * weights.sum())
    model.fit(scaler.transform(rows), labels, weights)
    return lambda asked: model.predict_proba(scaler.transform(asked))


@pytest.fixture(params=["rotated", "as they are"])
def way(request, monkeypatch):
    """Both ways to the minimum: uncorrelated coordinates, and the rows themselves, of which some tell the curvature."""
    if request.param == "as they are":
        monkeypatch.setattr(_exact, "_MOST_REDUCED", 0)
        monkeypatch.setattr(_exact, "_SAMPLE", 20)
        monkeypatch.setattr(_exact, "_BLOCK", 8 * 12 * 7)  # seven rows at a time
    return request.param


@pytest.mark.parametrize("features", [12, 90])  # fewer than rows, and more
@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_a_softmax_is_that_of_scikit_learn(way, features, strength):
    rows, labels = problem(features=features)
    asked, _ = problem(features=features, seed=1)
    found = solve(rows, np.eye(3)[labels], link="softmax", strengths=[strength])
    expected = by_sklearn(rows, labels, strength)(asked)
    np.testing.assert_allclose(softmax(found.scores(asked), axis=1), expected, atol=2e-3)
    assert found.kernel.shape == (features, 3)
    assert found.kernel.dtype == np.float32


def test_weights_count_as_so_many_rows(way):
    rows, labels = problem(classes=2)
    weights = np.where(labels == 1, 3.0, 1.0)
    found = solve(rows, labels, link="sigmoid", weights=weights, strengths=[0.1])
    scaler = StandardScaler().fit(rows.astype("float64"))  # the scale is that of the rows, whatever they weigh
    model = LogisticRegression(C=1 / (0.1 * weights.sum()), tol=1e-10, max_iter=10_000)
    model.fit(scaler.transform(rows), labels, weights)
    np.testing.assert_allclose(found.scores(rows)[:, 0], model.decision_function(scaler.transform(rows)), atol=5e-3)


def test_squared_errors_are_ridge_regression_chosen_by_leaving_out_each_row():
    rows, _ = problem()
    random = np.random.default_rng(1)
    targets = np.column_stack([rows[:, 0] / 30 + random.normal(size=60), random.normal(size=60)])
    found = solve(rows, targets, link="linear")
    scaled = StandardScaler().fit_transform(rows.astype("float64"))
    units = targets / targets.std(axis=0)
    expected = Ridge(alpha=found.strength * 60).fit(scaled, targets).predict(scaled)
    np.testing.assert_allclose(found.scores(rows), expected, atol=1e-4)
    for strength in STRENGTHS[2:6]:
        errors = []
        for out in range(60):
            rest = np.arange(60) != out
            model = Ridge(alpha=strength * 60).fit(scaled[rest], units[rest])
            errors.append(((model.predict(scaled[out : out + 1]) - units[out]) ** 2).sum() / 2)
        # The rows are scaled together here, and the penalty is divided by one row fewer.
        assert found.losses[strength] == pytest.approx(np.mean(errors), rel=0.03)


def test_several_yes_or_no_questions_are_solved_each_by_itself(way):
    rows, labels = problem()
    together = solve(rows, np.eye(3)[labels], link="sigmoid", strengths=[0.1])
    for column in range(3):
        alone = solve(rows, labels == column, link="sigmoid", strengths=[0.1])
        np.testing.assert_allclose(together.scores(rows)[:, column], alone.scores(rows)[:, 0], atol=5e-3)


def test_mean_losses_are_those_that_keras_shows():
    rows, labels = problem()
    others, truth = problem(count=50)
    wanted = np.eye(3)[truth].astype("float32")
    found = solve(rows, np.eye(3)[labels], link="sigmoid", held_out=(others, wanted))
    said = 1 / (1 + np.exp(-found.scores(others)))
    shown = float(keras.losses.BinaryCrossentropy()(wanted, said.astype("float32")))
    assert found.mean_losses("sigmoid")[found.strength] == pytest.approx(shown, rel=1e-2)
    assert found.mean_losses("softmax") == dict(found.losses)


def test_the_strength_is_the_best_for_rows_that_are_held_out(way):
    rows, labels = problem(features=40)
    others, truth = problem(count=200, features=40)
    targets, wanted = np.eye(3)[labels], np.eye(3)[truth]
    found = solve(rows, targets, link="softmax", held_out=(others, wanted))
    alone = {}
    for strength in found.losses:
        fitted = solve(rows, targets, link="softmax", strengths=[strength])
        alone[strength] = loss_of_scores(fitted.scores(others), wanted, "softmax").mean()
    assert alone == pytest.approx(dict(found.losses), rel=1e-2)
    assert found.strength == min(alone, key=lambda one: alone[one])
    assert len(found.losses) < len(STRENGTHS)  # weaker penalties were not tried once they were worse


def test_without_others_it_is_the_best_for_folds_that_are_left_out():
    rows, labels = problem(features=40)
    targets = np.eye(3)[labels]
    folds = np.arange(60) // 20
    found = solve(rows, targets, link="softmax", folds=folds)
    by_hand = {}
    for strength in list(found.losses)[:4]:
        losses = []
        for fold in range(3):
            out = folds == fold
            # Weights of 0, so that the scale of the features is that of all rows, as in `solve`.
            fitted = solve(rows, targets, link="softmax", weights=np.where(out, 0.0, 1.0), strengths=[strength])
            losses.extend(loss_of_scores(fitted.scores(rows[out]), targets[out], "softmax"))
        by_hand[strength] = np.mean(losses)
    assert {strength: found.losses[strength] for strength in by_hand} == pytest.approx(by_hand, rel=1e-2)
    assert found.strength == min(found.losses, key=lambda one: found.losses[one])


def test_rows_in_files_are_read_in_pieces(monkeypatch):
    class InFile:
        def __init__(self, rows):
            self.rows, self.shape, self.most = rows, rows.shape, 0

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            taken = self.rows[index]
            self.most = max(self.most, len(taken))
            return taken

    rows, labels = problem()
    targets = np.eye(3)[labels]
    monkeypatch.setattr(_exact, "_BLOCK", 8 * 12 * 7)
    monkeypatch.setattr(_exact, "_SAMPLE", 20)
    stored = InFile(rows)
    found = solve(stored, targets, link="softmax", strengths=[0.1])
    assert stored.most == 20
    expected = solve(rows, targets, link="softmax", strengths=[0.1])
    np.testing.assert_allclose(found.scores(rows), expected.scores(rows), atol=5e-3)


def test_a_channel_that_hardly_ever_fires_does_not_decide_alone():
    rows, labels = problem(classes=2)
    rows = np.column_stack([rows, np.zeros(60), np.full(60, 7.0)]).astype("float32")
    rows[0, -2] = 1e-4
    found = solve(rows, labels, link="sigmoid", strengths=[0.01])
    asked = rows[:5].copy()
    asked[:, -2:] += 1.0
    assert found.kernel[-1] == 0
    assert np.abs(found.scores(asked) - found.scores(rows[:5])).max() < 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_no_numbers_are_refused(value):
    rows, labels = problem()
    rows[3, 4] = value
    with pytest.raises(ValueError, match="finite"), np.errstate(invalid="ignore"):
        solve(rows, np.eye(3)[labels], link="softmax")


def test_rows_without_any_weight_are_refused():
    rows, labels = problem()
    with pytest.raises(ValueError, match="weights"):
        solve(rows, np.eye(3)[labels], link="softmax", weights=np.zeros(60))


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_units_of_targets_do_not_matter(unit):
    rows, _ = problem()
    targets = rows[:, :1] / 30
    plain = solve(rows, targets, link="linear", strengths=[0.01]).scores(rows)
    np.testing.assert_allclose(
        solve(rows, targets * unit, link="linear", strengths=[0.01]).scores(rows) / unit, plain, rtol=1e-3
    )


def test_a_strength_that_is_known_gives_the_numbers_of_one_that_is_chosen():
    rows, labels = problem(features=40)
    others, truth = problem(count=200, features=40)
    chosen = solve(rows, np.eye(3)[labels], link="softmax", held_out=(others, np.eye(3)[truth]))
    known = solve(rows, np.eye(3)[labels], link="softmax", strengths=[chosen.strength])
    np.testing.assert_array_equal(chosen.kernel, known.kernel)


def test_rows_of_fold_minus_1_are_always_fitted_and_without_folds_the_strength_is_the_usual_one():
    rows, labels = problem()
    found = solve(rows, np.eye(3)[labels], link="softmax", folds=np.full(60, -1))
    assert (found.strength, found.losses) == (_exact.USUAL_STRENGTH, {})


def test_others_that_are_no_numbers_are_refused():
    rows, labels = problem()
    with pytest.raises(ValueError, match="finite"):
        solve(rows, np.eye(3)[labels], link="softmax", held_out=(rows * np.nan, np.eye(3)[labels]))

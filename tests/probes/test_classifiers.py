import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from kertl.probes import Ridge
from kertl.probes._classifiers import LOGISTIC_STRENGTHS, PROBES, RIDGE_STRENGTHS, Standardiser


def clouds(rows=60, features=5, classes=3, seed=0):
    """Overlapping clouds of points around the classes' means."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    means = random.normal(size=(classes, features)) * np.sqrt(5 / features)
    return (means[labels] + random.normal(size=(rows, features))).astype("float32"), labels


ROWS, LABELS = clouds()
ASKED = np.random.default_rng(9).normal(size=(40, 5)).astype("float32")


def answers(method, rows=ROWS, labels=LABELS, asked=ASKED):
    return dict(PROBES[method](rows, labels, asked, 3))


def ridge_by_hand(rows, labels, strength):
    """Weights and intercept by the normal equations, the penalty being `strength` for each row but not for a mean."""
    entries = np.column_stack([np.ones(len(rows)), rows]).astype("float64")
    penalty = strength * np.diag([0.0, *np.ones(rows.shape[1])])
    return np.linalg.solve(entries.T @ entries + penalty, entries.T @ np.eye(3)[labels])


def scores_by_hand(weights, asked):
    return np.column_stack([np.ones(len(asked)), asked]) @ weights


@pytest.mark.parametrize("features", [5, 90], ids=["more rows than features", "more features than rows"])
@pytest.mark.parametrize("strength", [10.0, 0.1, 1e-3])
def test_ridge_solves_the_normal_equations(features, strength):
    rows, labels = clouds(features=features)
    asked = clouds(features=features, seed=4)[0]
    expected = scores_by_hand(ridge_by_hand(rows, labels, strength * len(rows)), asked)
    np.testing.assert_allclose(Ridge(rows, labels, 3).scores(asked, strength), expected, atol=1e-6)


@pytest.mark.parametrize("features", [5, 90])
@pytest.mark.parametrize("strength", [1.0, 0.01])
def test_accuracy_left_out_is_that_of_fits_to_all_other_rows(features, strength):
    rows, labels = clouds(features=features)
    right = []
    for place in range(len(rows)):
        others = np.arange(len(rows)) != place
        weights = ridge_by_hand(rows[others], labels[others], strength * len(rows))
        right.append(scores_by_hand(weights, rows[place : place + 1]).argmax() == labels[place])
    assert Ridge(rows, labels, 3).accuracy_left_out(strength) == pytest.approx(np.mean(right))
    assert 0.4 < np.mean(right) < 1


def test_ridge_probe_gives_the_answers_at_every_strength():
    found = answers("ridge")
    assert list(found) == [f"strength={strength:g}" for strength in RIDGE_STRENGTHS]
    for strength in RIDGE_STRENGTHS:
        expected = scores_by_hand(ridge_by_hand(ROWS, LABELS, strength * len(ROWS)), ASKED).argmax(axis=1)
        assert found[f"strength={strength:g}"].tolist() == expected.tolist()


def test_nearest_mean_answers_as_scikit_learn_does():
    expected = NearestCentroid().fit(ROWS, LABELS).predict(ASKED)
    assert answers("nearest mean")[""].tolist() == expected.tolist()
    without_one = np.where(LABELS == 1, 2, LABELS)
    assert set(answers("nearest mean", labels=without_one)[""]) == {0, 2}


def test_nearest_neighbours_answer_as_scikit_learn_does_where_votes_are_not_equal():
    found = answers("nearest neighbours")
    assert list(found) == ["k=50", "k=20", "k=10", "k=5", "k=3", "k=1"]
    for setting, answered in found.items():
        by_peers = KNeighborsClassifier(int(setting[2:])).fit(ROWS, LABELS)
        votes = np.sort(by_peers.predict_proba(ASKED), axis=1)
        clear = votes[:, -1] > votes[:, -2]
        assert clear.mean() > 0.7
        assert answered[clear].tolist() == by_peers.predict(ASKED)[clear].tolist()


def test_of_equally_many_neighbours_the_nearer_decide():
    rows, labels = np.array([[0.0], [2.0], [-3.0], [5.0]], "float32"), np.array([1, 0, 0, 1])
    asked = np.array([[0.1]], "float32")
    assert answers("nearest neighbours", rows, labels, asked)["k=1"].tolist() == [1]
    four = np.eye(3)[labels].sum(axis=0)
    assert four.tolist() == [2, 2, 0]
    assert list(answers("nearest neighbours", rows, labels, asked)) == ["k=3", "k=1"]
    assert answers("nearest neighbours", rows[:3], np.array([1, 2, 0]), asked)["k=3"].tolist() == [1]


def test_logistic_regression_reaches_the_optimum_that_scikit_learn_reaches_from_scratch():
    found = answers("logistic regression")
    assert list(found) == [f"strength={strength:g}" for strength in LOGISTIC_STRENGTHS]
    for strength in LOGISTIC_STRENGTHS[:4]:
        exact = LogisticRegression(C=1 / (strength * len(ROWS)), tol=1e-8, max_iter=5000).fit(ROWS, LABELS)
        shares = np.sort(exact.predict_proba(ASKED), axis=1)
        clear = shares[:, -1] - shares[:, -2] > 0.02
        assert clear.mean() > 0.8
        assert found[f"strength={strength:g}"][clear].tolist() == exact.predict(ASKED)[clear].tolist()


def test_logistic_regression_ends_where_the_training_rows_are_all_right():
    rows = np.eye(3, dtype="float32")[LABELS] * 8
    assert list(answers("logistic regression", rows, LABELS, rows)) == ["strength=1"]


def test_standardised_features_have_mean_0_and_spread_1_and_constant_ones_are_0():
    rows = np.column_stack([ROWS * [1, 10, 100, 1, 1] + 1000, np.full(60, 7.0)]).astype("float32")
    standardise = Standardiser(rows)
    done = standardise(rows)
    np.testing.assert_allclose(done.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(done.std(axis=0), [1, 1, 1, 1, 1, 0], atol=1e-4)
    assert standardise(rows + 1)[:, 5].tolist() == [0.0] * 60

import numpy as np
import pytest
from scipy.linalg import sqrtm

from kertl.studies import compare, estimated_shares
from kertl.studies._two_samples import domain_scores, frechet, mmd_test


def normal(count, width=6, seed=0, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, (count, width))


def test_frechet_distance_is_that_of_the_formula_with_a_matrix_root():
    a, b = normal(300, seed=1), normal(200, seed=2, mean=0.7, scale=1.5) @ np.diag([1, 2, 1, 1, 0.5, 1])
    first, second = np.cov(a.T), np.cov(b.T)
    plain = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet(a, b) == pytest.approx(plain, rel=1e-6)
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)


def test_mmd_is_that_of_the_formula():
    a, b = normal(30, 3, seed=1), normal(20, 3, seed=2, mean=0.5)
    both = np.concatenate([a, b])
    squares = np.array([[np.sum((one - other) ** 2) for other in both] for one in both])
    width = np.median(squares[np.triu_indices(50, 1)])

    def mean(rows, columns, same):
        kernel = np.exp(-squares[np.ix_(rows, columns)] / width)
        return (kernel.sum() - np.trace(kernel)) / (len(rows) * (len(rows) - 1)) if same else kernel.mean()

    first, second = np.arange(30), np.arange(30, 50)
    plain = mean(first, first, True) + mean(second, second, True) - 2 * mean(first, second, False)
    assert mmd_test(a, b, np.random.default_rng(0))[0] == pytest.approx(plain, rel=1e-9)


def test_permutation_test_keeps_its_level_where_there_is_no_shift():
    random = np.random.default_rng(0)
    found = [mmd_test(normal(40, 4, seed), normal(40, 4, 1000 + seed), random, 99)[1] for seed in range(200)]
    assert np.mean(np.array(found) <= 0.05) < 0.09
    assert 0.4 < np.mean(found) < 0.6


def test_distances_grow_with_the_shift():
    found = [compare(normal(200, seed=3), normal(200, seed=4, mean=mean)) for mean in (0, 0.3, 1.5)]
    for name in ("mean_difference", "frechet", "auc", "mmd"):
        values = [getattr(one, name) for one in found]
        assert values == sorted(values)
    assert found[0].p_value > 0.05
    assert found[2].p_value == pytest.approx(1 / 500)
    assert found[0].frechet < 3 * found[0].frechet_within < found[2].frechet


def test_other_spread_is_seen_in_the_covariances_and_not_in_the_means():
    same, other = compare(normal(400), normal(400, seed=1)), compare(normal(400), normal(400, seed=1, scale=3))
    assert other.covariance_difference > 3 * same.covariance_difference
    assert other.mean_difference < 0.2


def test_a_constant_feature_and_equal_samples_give_no_shift():
    rows = np.concatenate([normal(60, 3), np.ones((60, 2))], axis=1)
    found = compare(rows, rows.copy())
    assert found.frechet == pytest.approx(0, abs=1e-6)
    assert found.p_value > 0.5


def test_weights_make_the_classes_of_two_domains_equal():
    random = np.random.default_rng(0)
    labels = [random.random(600) < share for share in (0.5, 0.9)]
    a, b = (random.normal(size=(600, 2)) + 3 * own[:, None] for own in labels)
    from sklearn.metrics import roc_auc_score

    scores, truth = domain_scores(a, b)
    weights = np.where(labels[0], 0.9 / 0.5, 0.1 / 0.5)
    without, _ = domain_scores(a, b, weights=weights)
    assert roc_auc_score(truth, scores) > 0.65
    assert roc_auc_score(truth, without, sample_weight=np.append(weights, np.ones(600))) < 0.56


def test_em_finds_the_shares_of_classes():
    random = np.random.default_rng(0)
    x = np.where(random.random(4000) < 0.8, random.normal(1, 1, 4000), random.normal(-1, 1, 4000))
    second = 1 / (1 + np.exp(-2 * x))  # calibrated where the classes are equally frequent
    found = estimated_shares(np.stack([1 - second, second], axis=1), np.array([0.5, 0.5]))
    assert found[1] == pytest.approx(0.8, abs=0.03)

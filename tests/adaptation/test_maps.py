import numpy as np
import pytest

from kertl.adaptation import aligned, coral


def samples(width=6):
    random = np.random.default_rng(0)
    mixing = random.normal(size=(width, width))
    return random.normal(3, 2, (500, width)) @ mixing, random.normal(-1, 1.5, (400, width))


def test_aligned_features_have_the_mean_and_deviation_of_the_source():
    source, target = samples()
    moved = aligned(source, target)(target)
    assert moved.mean(axis=0) == pytest.approx(source.mean(axis=0))
    spread, other = source.std(axis=0), target.std(axis=0)
    floor = 0.05 * np.median(spread)
    scale = np.clip((spread + floor) / (other + floor), 1 / 3, 3)
    assert moved.std(axis=0) == pytest.approx(other * scale)


def test_coral_gives_the_covariance_of_the_source():
    source, target = samples()
    moved = coral(source, target, regularisation=1e-9)(target)
    assert np.cov(moved.T) == pytest.approx(np.cov(source.T), rel=1e-5)
    assert moved.mean(axis=0) == pytest.approx(source.mean(axis=0))


def test_coral_is_that_of_the_paper_in_standard_deviations():
    from scipy.linalg import fractional_matrix_power

    source, target = samples(4)
    mean, spread = source.mean(axis=0), source.std(axis=0)
    first = (aligned(source, target)(target) - mean) / spread
    identity = np.eye(4)
    whitened = fractional_matrix_power(np.cov(first.T) + identity, -0.5)
    coloured = fractional_matrix_power(np.cov(((source - mean) / spread).T) + identity, 0.5)
    assert coral(source, target)(target) == pytest.approx(first @ whitened @ coloured * spread + mean)


def test_a_map_folds_into_the_layer_after_it():
    source, target = samples()
    random = np.random.default_rng(1)
    kernel, bias = random.normal(size=(6, 3)), random.normal(size=3)
    for found in (aligned(source, target), coral(source, target)):
        moved, offset = found.folded(kernel, bias)
        assert target @ moved + offset == pytest.approx(found(target) @ kernel + bias)


def test_a_feature_that_never_fires_is_moved_and_not_blown_up():
    source, target = samples()
    source[:, 0], target[:, 1] = 0.0, 0.0
    for found in (aligned(source, target), coral(source, target)):
        assert np.isfinite(found(target)).all()
        assert np.abs(found(target)).max() < 100 * np.abs(source).max()

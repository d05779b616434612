import math

import numpy as np
import pytest

from kertl.range_test._result import Curve, RangeTest
from kertl.range_test._suggest import RULES, minimum, slide, steep, valley

RATES = np.geomspace(1e-7, 10, 100)


def smoothed(losses, smoothing=0.95):
    """A moving average from zero, divided by what zero takes away (Kingma & Ba, 2015, section 3)."""
    mean, found = 0.0, []
    for count, loss in enumerate(losses, start=1):
        mean = smoothing * mean + (1 - smoothing) * loss
        found.append(mean / (1 - smoothing**count))
    return np.array(found)


def curve(losses, **options):
    losses = np.asarray(losses, float)
    return Curve(RATES[: len(losses)], losses, smoothed(losses), steps=100, **options)


def learning(fall=0.8, noise=0.0, seed=0, turn=0.3):
    """Flat, falling around 1e-3, rising steeply from `turn` on."""
    random = np.random.default_rng(seed)
    share = 1 / (1 + np.exp(-2 * (np.log10(RATES) + 3)))
    return 2 - fall * share + 8 * np.clip(np.log10(RATES / turn), 0, None) + noise * random.normal(size=100)


def plain_valley(rates, losses):
    """fastai's rule: the longest falling subsequence by its quadratic recursion, then a third and half a third."""
    lengths = []
    for place, loss in enumerate(losses):
        before = [lengths[k] for k in range(place) if losses[k] > loss]
        lengths.append(1 + max(before, default=0))
    end = lengths.index(max(lengths))
    return rates[end - max(lengths) + int(max(lengths) / 3) + int(max(lengths) / 3 / 2)]


def plain_slide(rates, losses):
    """fastai's rule, with its negative indices."""
    slopes = np.gradient(losses)
    right = -1
    while right - 15 > -len(losses) and abs(slopes[right] - slopes[right - 15]) > 0.005:
        right -= 1
    return rates[right - 15]


def plain_steep(rates, losses):
    slopes = [
        (losses[k + 1] - losses[k]) / (math.log(rates[k + 1]) - math.log(rates[k])) for k in range(len(rates) - 1)
    ]
    return rates[slopes.index(min(slopes))]


CURVES = [smoothed(learning(noise=noise, seed=seed)) for seed in range(8) for noise in (0.0, 0.1)]


@pytest.mark.parametrize(("rule", "plain"), [(valley, plain_valley), (slide, plain_slide), (steep, plain_steep)])
def test_a_rule_is_its_plain_formula(rule, plain):
    for losses in CURVES:
        assert rule(RATES, losses) == plain(RATES, losses)


def test_minimum_is_a_tenth_of_the_rate_of_the_lowest_loss():
    for losses in CURVES:
        assert minimum(RATES, losses) == RATES[losses.tolist().index(min(losses))] / 10


def test_valley_is_the_middle_of_a_fall_without_noise():
    losses = np.r_[np.full(40, 2.0), np.linspace(1.9, 0.1, 30), np.full(30, 3.0)]
    assert valley(RATES, losses) == pytest.approx(RATES[54], rel=0.2)


def test_valley_says_nothing_of_a_curve_that_rises():
    assert valley(RATES, np.linspace(1, 2, 100)) is None


def test_slide_says_nothing_of_a_curve_shorter_than_its_window():
    assert slide(RATES[:15], np.linspace(1, 0, 15)) is None


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.1])
def test_a_fall_gives_rates_in_it(noise):
    for seed in range(20):
        found = curve(learning(noise=noise, seed=seed)).suggestions
        assert found.keys() == RULES.keys()
        assert 1e-5 < found["valley"] < 0.3
        assert 1e-5 < found["minimum"] < 0.3


def test_the_unit_of_the_loss_does_not_matter():
    assert curve(1e6 * learning(noise=0.05)).suggestions == curve(learning(noise=0.05)).suggestions


NOTHING = {
    "flat": np.full(100, 2.0),
    "rising": np.linspace(1, 3, 100),
    "diverging at once": np.geomspace(1, 1e6, 30),
    "falling less than a hundredth": 2 - np.linspace(0, 0.019, 100),
    "one lucky batch": np.r_[np.full(50, 2.0), 0.1, np.full(49, 2.0)],
    "nothing": np.zeros(0),
    "a few steps": np.linspace(2, 1, 12),
    "zero": np.zeros(100),
}


@pytest.mark.parametrize("name", NOTHING)
def test_a_curve_that_does_not_fall_gives_none_by_every_rule(name):
    assert set(curve(NOTHING[name]).suggestions.values()) == {None}
    test = RangeTest([curve(NOTHING[name])])
    assert test.suggestion is None
    assert test.suggestion_range is None


@pytest.mark.parametrize("draw", ["normal", "exponential", "two values", "heavy tails"])
def test_noise_gives_none(draw):
    random = np.random.default_rng(0)
    draws = {
        "normal": lambda: random.normal(size=100),
        "exponential": lambda: random.exponential(size=100),
        "two values": lambda: (random.random(100) < 0.1).astype(float),
        "heavy tails": lambda: random.standard_t(3, size=100),
    }
    found = [curve(1 + 0.3 * draws[draw]()).suggestions["valley"] for _ in range(300)]
    assert sum(rate is not None for rate in found) <= 1


def test_a_fall_that_drowns_in_the_luck_of_the_batch_is_seen_against_what_the_batch_loses_anyway():
    luck = 0.5 * np.random.default_rng(0).normal(size=100)
    losses = learning(fall=0.3) + luck
    assert curve(losses).suggestions["valley"] is None
    assert curve(losses, standing=2 + luck).suggestions["valley"] is not None
    assert curve(2 + luck, standing=2 + luck).suggestions["valley"] is None


def test_of_several_runs_the_geometric_median_and_the_extremes_are_told():
    runs = [curve(learning(noise=0.1, seed=seed)) for seed in range(4)]
    each = sorted(run.suggestions["valley"] for run in runs)
    assert len(set(each)) > 1
    assert RangeTest(runs).suggestion == pytest.approx(math.sqrt(each[1] * each[2]))
    assert RangeTest(runs).suggestion_range == (each[0], each[-1])
    assert RangeTest(runs[:3]).suggestion == sorted(run.suggestions["valley"] for run in runs[:3])[1]


def test_of_several_runs_half_must_fall():
    falls, flat = curve(learning()), curve(np.full(100, 2.0))
    assert RangeTest([falls, flat]).suggestion == falls.suggestions["valley"]
    assert RangeTest([falls, flat, flat]).suggestion is None


def test_the_losses_of_several_runs_are_their_mean_as_far_as_all_came():
    runs = [curve(learning()), curve(learning()[:80] + 1)]
    test = RangeTest(runs)
    assert len(test.learning_rates) == len(test.losses) == len(test.raw_losses) == 80
    assert test.losses == pytest.approx((runs[0].losses[:80] + runs[1].losses) / 2)


@pytest.mark.parametrize("name", ["learning", *NOTHING])
def test_every_curve_can_be_drawn(name, tmp_path):
    test = RangeTest([curve(NOTHING.get(name, learning()))] * 2)
    labels = {text.get_text() for text in test.plot(tmp_path / "lr.png").legends[0].get_texts()}
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert any(label.startswith("valley") for label in labels) == (name == "learning")
    assert test.plot().axes[0].get_xscale() == "log"


def test_a_straight_ramp_is_drawn_on_a_straight_axis():
    rates = np.linspace(1e-4, 1, 100)
    assert RangeTest([Curve(rates, learning(), learning(), 100)]).plot().axes[0].get_xscale() == "linear"


def test_a_suggestion_of_few_steps_is_called_coarse():
    def told(steps):
        rates, losses = (
            np.geomspace(1e-7, 10, steps),
            np.r_[np.ones(steps // 2), np.linspace(1, 0.1, steps - steps // 2)],
        )
        return RangeTest([Curve(rates, losses, losses, steps)]).table()

    assert "With 30 steps that is coarse: take 50 or more." in told(30)
    assert "Suggested: " in told(60)
    assert "coarse" not in told(60)

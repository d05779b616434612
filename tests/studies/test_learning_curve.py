import json
import re

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kertl
from kertl.probes import _depths
from kertl.studies import LearningCurve, Point, PowerLaw
from kertl.studies._learning_curve import _drawn
from tests.families import lively, small_backbone
from tests.messages import assert_names
from tests.runs import same, squares, weights


@pytest.fixture(scope="module")
def data():
    """Pictures of which three in ten have the label of another class."""
    found = squares(per_class=80, seed=3)
    random = np.random.default_rng(1)
    for part in (found.train, found.validation):
        wrong = random.random(len(part.labels)) < 0.3
        part.labels = np.where(wrong, (part.labels + 1) % 3, part.labels)
    return found


@pytest.fixture(scope="module")
def backbone(data):
    keras.utils.set_random_seed(0)
    return lively(small_backbone(), data.train.batch(0, 0)[0].astype("float32"))


@pytest.fixture(scope="module")
def found(backbone, data):
    return kertl.learning_curve(backbone, data, repeats=4, seed=2)


def curve(errors, training, sizes=(100, 200, 400, 800), judged_on=1000):
    """A curve with the given mean errors and accuracy on the training images."""
    points = tuple(Point(size, (training,), (1 - error,)) for size, error in zip(sizes, errors, strict=True))
    return LearningCurve(points, PowerLaw.fitted(sizes, errors), 0.5, judged_on, 1.0, 1.0)


def test_sizes_are_halves_down_to_a_few_per_class_and_all_images_are_drawn_once(found):
    assert [point.size for point in found.points] == [15, 30, 60, 120]
    assert [len(point.validation) for point in found.points] == [4, 4, 4, 1]
    assert all(len(point.training) == len(point.validation) for point in found.points)
    assert len(set(found.points[0].validation)) > 1
    assert found.judged_on == 60


def test_accuracy_with_all_images_is_that_of_ridge_regression_by_hand(found, backbone, data):
    vectors = [backbone.predict(part.in_order(), verbose=0).mean(axis=(1, 2)) for part in (data.train, data.validation)]
    possible = set()
    for strength in (100.0, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4):
        by_hand = make_pipeline(StandardScaler(), RidgeClassifier(strength * 120)).fit(vectors[0], data.train.labels)
        scores = [by_hand.score(vectors[0], data.train.labels), by_hand.score(vectors[1], data.validation.labels)]
        possible.add(tuple(round(score, 6) for score in scores))
    last = found.points[-1]
    assert (round(last.training[0], 6), round(last.validation[0], 6)) in possible
    assert 0.4 < last.mean < 0.9


def test_drawn_images_have_each_class_according_to_its_share_and_others_each_time():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    for size in (3, 10, 50, 99):
        rows = _drawn(labels, size, np.random.default_rng(0))
        assert len(set(rows)) == size
        counts = np.bincount(labels[rows], minlength=3)
        assert counts.min() >= 1
        assert np.abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 1.2
    again, other = (_drawn(labels, 50, np.random.default_rng(seed)).tolist() for seed in (0, 1))
    assert again == _drawn(labels, 50, np.random.default_rng(0)).tolist() != other
    assert _drawn(labels, 100, np.random.default_rng(0)).tolist() == list(range(100))


def test_images_go_through_the_backbone_once_and_the_test_part_never(backbone, data, monkeypatch):
    asked, before = [], weights(backbone)
    extract = _depths.extract
    monkeypatch.setattr(_depths, "extract", lambda *a, **k: asked.append(a[1]) or extract(*a, **k))
    kertl.learning_curve(backbone, data, sizes=np.array([20, 40, 60, 80]))
    assert asked == [data.train, data.validation]
    assert all(same(before, weights(backbone)).values())


def test_curve_follows_the_seed(found, backbone, data):
    again, other = (kertl.learning_curve(backbone, data, repeats=4, seed=seed) for seed in (2, 3))
    assert again.points == found.points
    assert other.points[:-1] != found.points[:-1]
    assert other.points[-1] == found.points[-1]


@pytest.mark.parametrize(
    ("errors", "training", "advice", "reason"),
    [
        (
            [0.4, 0.3, 0.22, 0.165],
            0.95,
            "more data",
            r"^More data: .* 800 ",
        ),
        (
            [0.2, 0.199, 0.2, 0.199],
            0.95,
            "more model",
            r"^More model: .*deeper layers",
        ),
        (
            [0.4, 0.3, 0.22, 0.165],
            0.84,
            "more model",
            r"^More model: .*twice the standard error",
        ),
    ],
    ids=["falls, and there is variance", "is flat", "falls, but there is no variance"],
)
def test_advice_follows_slope_and_gap(errors, training, advice, reason):
    found = curve(errors, training)
    assert found.advice == advice
    assert re.search(reason, found.reasons)
    assert found.gap == pytest.approx(training - (1 - errors[-1]))
    assert f"{found.gain:.0%}" in found.reasons


@pytest.mark.parametrize("judged_on", [8, 30])
def test_a_few_validation_images_decide_nothing(judged_on):
    found = curve([0.4, 0.35, 0.3], 1.0, sizes=(4, 8, 16), judged_on=judged_on)
    assert found.advice == "undecided"
    assert_names(found.reasons, "16 training", f"{judged_on} validation images", "cannot tell", "`repeats`")
    low, high = found.gain_interval
    assert low < 0.1 < high
    assert kertl.diagnose({"loss": [1.0, 0.5]}, learning_curve=found).learning_curve == found.reasons


def test_the_interval_narrows_with_the_validation_set():
    wide, narrow = (curve([0.4, 0.3, 0.22, 0.165], 0.95, judged_on=count).gain_interval for count in (100, 10_000))
    assert wide[0] < narrow[0] < 0.25 < narrow[1] < wide[1]


def test_gain_is_the_share_of_the_error_that_twice_the_images_take_away():
    found = curve([1.0 / size**0.5 for size in (100, 200, 400, 800)], 1.0)
    assert found.gain == pytest.approx(1 - 0.5**0.5, abs=0.01)
    share = (found.points[-1].mean * 1000 + 2) / 1004
    assert found.standard_error == pytest.approx((share * (1 - share) / 1004) ** 0.5)


def test_no_error_leaves_nothing_to_gain():
    found = curve([0.0, 0.0, 0.0, 0.0], 1.0)
    assert (found.gain, found.advice) == (0.0, "more model")


def test_table_json_and_picture_tell_the_same(found, tmp_path):
    table = found.table()
    for point in found.points:
        line = next(line for line in table.splitlines() if line.split()[:1] == [str(point.size)])
        assert f"{point.mean:.4f}" in line
        assert (f"{point.standard_deviation:.4f}" in line) == (len(point.validation) > 1)
    assert found.reasons in table
    values = json.loads(found.to_json())
    assert values["points"][1]["validation"] == list(found.points[1].validation)
    assert values["advice"] == found.advice
    found.plot(tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.width > 600
        assert len(picture.convert("RGB").getcolors(10**6)) > 20


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"repeats": 0}, ("`repeats`", ">= 1", "repeats=0")),
        ({"sizes": [10, 500, 20]}, ("`sizes`", "three", "3 to 120", "sizes=[10, 500, 20]")),
        ({"sizes": [10, 20]}, ("`sizes`", "three", "3 to 120", "sizes=[10, 20]")),
        ({"data": squares(per_class=20)}, ("`data`", "60 training images", "3 classes", "30", "`sizes`")),
        (
            {"data": squares(per_class=4, validation=0)},
            ("`data`", "validation set", "data.validation=None", "`validation=0.15`"),
        ),
    ],
    ids=["repeats", "too many", "too few sizes", "too few images", "no validation"],
)
def test_what_cannot_be_done_is_refused(arguments, named, backbone, data):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.learning_curve(backbone, **{"data": data, **arguments})
    assert_names(caught.value, *named)

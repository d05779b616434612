import numpy as np
import pytest

import kertl
from kertl.studies import Shift
from tests.families import small_backbone
from tests.messages import assert_names
from tests.runs import NAMES, classifier, squares, weights


@pytest.fixture(scope="module")
def model():
    return classifier()


def pictures(data):
    return data.train.in_order().reader.take(np.arange(data.train.num_examples))


@pytest.fixture(scope="module")
def a():
    return squares(per_class=20, seed=1, validation=0, test=0)


@pytest.fixture(scope="module")
def darker(a):
    return kertl.data.from_arrays(pictures(a) // 3, a.train.labels, class_names=NAMES, validation=0, test=0)


@pytest.fixture(scope="module")
def found(model, a, darker):
    return kertl.shift(model, a, darker, farthest=3)


def test_a_shift_of_the_pixels_begins_at_the_first_group(model, found):
    assert found.begins == found.depths[0].boundary
    assert [depth.boundary for depth in found.depths] == [
        group.name for group in kertl.layer_groups(model) if group.boundary == "main" and group.name != "head"
    ]
    assert found.images == (60, 60)


def test_two_halves_of_a_domain_show_no_shift(model):
    halves = [squares(per_class=20, seed=seed, validation=0, test=0) for seed in (1, 2)]
    found = kertl.shift(model, *halves)
    assert found.begins is None
    assert "No shift" in found.table()


def test_the_model_is_not_changed(model, a, darker):
    before = weights(model)
    kertl.shift(model, a, darker)
    assert all(np.array_equal(before[path], now) for path, now in weights(model).items())


def test_farthest_image_is_the_one_that_is_unlike_all_others(model, a):
    other = pictures(squares(per_class=20, seed=5, validation=0, test=0)).copy()
    other[7] = 255 * (np.indices((32, 32)).sum(axis=0) % 2)[..., None]
    found = kertl.shift(model, a.train, other, farthest=2)
    assert found.farthest[0].file == "array:7"
    assert found.farthest[0].beyond == 1.0
    assert found.farthest[0].distance > found.farthest[1].distance


def test_label_shift_is_told_apart_from_covariate_shift(model, a):
    labels, images = np.asarray(a.train.labels), pictures(a)
    more = squares(per_class=60, seed=9, validation=0, test=0)
    chosen = np.flatnonzero(np.asarray(more.train.labels) != 0)[:80]
    chosen = np.append(chosen, np.flatnonzero(np.asarray(more.train.labels) == 0)[:5])
    b = kertl.data.from_arrays(
        pictures(more)[chosen], np.asarray(more.train.labels)[chosen], class_names=NAMES, validation=0, test=0
    )
    found = kertl.shift(model, kertl.data.from_arrays(images, labels, class_names=NAMES, validation=0, test=0), b)
    assert found.labels.from_labels == (True, True)
    assert found.labels.shares_b["blue"] == pytest.approx(5 / 85)
    assert found.labels.auc_without < found.labels.auc - 0.05


def test_without_labels_the_shares_are_estimated(model, a):
    found = kertl.shift(model, a, pictures(a))
    assert found.labels.from_labels == (True, False)
    assert sum(found.labels.shares_b.values()) == pytest.approx(1)


def test_a_backbone_has_no_label_shift(a, darker):
    assert kertl.shift(small_backbone(), a, darker, boundaries=["deep"]).labels is None


def test_result_is_shown_and_comes_back_from_json(found, tmp_path):
    assert found.depths[0].boundary in found.table()
    assert "It begins after" in found.table()
    again = Shift.from_json(found.to_json())
    assert again.depths == found.depths
    assert found.to_dict()["begins"] == found.begins
    found.plot(tmp_path / "shift.png")
    assert (tmp_path / "shift.png").stat().st_size > 1000


def test_three_images_are_too_few(model, a):
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.shift(model, a, pictures(a)[:3])
    assert_names(raised, "`b`", "at least 10 images", "Received: 3")


def test_other_channels_are_refused(model, a):
    gray = kertl.data.from_arrays(pictures(a)[..., :1], a.train.labels, channels=1, validation=0, test=0)
    with pytest.raises(kertl.errors.DataError) as raised:
        kertl.shift(model, a, gray)
    assert_names(raised, "`b`", "3 channels", "channels=1", "`channels=3`")


def test_labels_of_other_classes_are_refused(model, a):
    other = kertl.data.from_arrays(pictures(a), a.train.labels, class_names=["cat", "dog", "cow"], validation=0, test=0)
    with pytest.raises(ValueError, match="must be images of the model's classes"):
        kertl.shift(model, a, other)

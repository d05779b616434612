import numpy as np
import pytest

import kertl
from kertl.data import MixedBatches
from kertl.data._mixing import cut, cutting, mixed, mixing

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 10, 14, 3), dtype="uint8")


def data(labels=None, **options):
    labels = [number % 3 for number in range(24)] if labels is None else labels
    return kertl.data.from_arrays(IMAGES, labels, validation=0, test=0, batch_size=5, seed=4, **options)


def test_a_piece_is_the_rectangle_of_the_paper_clipped_at_the_border_and_the_share_what_is_left():
    count, alpha, height, width = 4000, 1.0, 10, 14
    partners, boxes, shares = cutting(1, 2, 3, count, alpha, (height, width))
    assert sorted(partners) == list(range(count))
    top, bottom, left, right = boxes.T
    assert (top >= 0).all()
    assert (bottom <= height).all()
    assert (left >= 0).all()
    assert (right <= width).all()
    np.testing.assert_allclose(shares, 1 - (bottom - top) * (right - left) / (height * width), rtol=1e-6)
    random = np.random.default_rng((1, 2, 3, 0x637574))
    random.permutation(count)
    sides = np.sqrt(1 - random.beta(alpha, alpha, count))
    rows = random.uniform(0, height, count)
    columns = random.uniform(0, width, count)
    for number in range(100):
        expected = [np.clip(round(rows[number] + sign * sides[number] * height / 2), 0, height) for sign in (-1, 1)] + [
            np.clip(round(columns[number] + sign * sides[number] * width / 2), 0, width) for sign in (-1, 1)
        ]
        assert boxes[number].tolist() == expected


def test_a_cut_image_is_its_partner_inside_the_box_and_itself_outside():
    partners, boxes, shares = cutting(0, 0, 0, 24, 1.0, (10, 14))
    found = cut(IMAGES, partners, boxes)
    assert found.dtype == np.float32
    for number, (top, bottom, left, right) in enumerate(boxes):
        expected = IMAGES[number].astype("float32")
        expected[top:bottom, left:right] = IMAGES[partners[number], top:bottom, left:right]
        np.testing.assert_array_equal(found[number], expected)
        if partners[number] != number:
            own = np.mean((found[number] == IMAGES[number]).all(axis=-1))
            assert own == pytest.approx(shares[number], abs=0.02)


def test_labels_and_weights_follow_the_area_and_the_classes_become_rows():
    images = data()
    weights = {0: 1.0, 1: 2.0, 2: 4.0}
    batches = MixedBatches(images.train, 0.0, 1.0, 3, weights)
    for epoch, index in ((0, 0), (1, 3), (0, 4)):
        plain, labels = images.train.batch(epoch, index)
        partners, boxes, shares = cutting(4, epoch, index, len(plain), 1.0, (10, 14))
        pictures, rows, loss_weights = batches.batch(epoch, index)
        np.testing.assert_array_equal(pictures, cut(plain, partners, boxes))
        own = np.array([weights[int(label)] for label in labels])
        weighted = [(share * w)[:, None] for share, w in ((shares, own), (1 - shares, own[partners]))]
        expected = weighted[0] * np.eye(3)[labels] + weighted[1] * np.eye(3)[labels[partners]]
        np.testing.assert_allclose(loss_weights[:, None] * rows, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(loss_weights, shares * own + (1 - shares) * own[partners], rtol=1e-5)
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)


def test_rows_of_yes_and_no_are_mixed_as_they_are():
    images = data(np.array([[1, number % 2] for number in range(24)]), task="multi_label", class_names=["a", "b"])
    batches = MixedBatches(images.train, 0.0, 1.0, None, None)
    labels = images.train.batch(0, 0)[1]
    partners, _, shares = cutting(4, 0, 0, 5, 1.0, (10, 14))
    expected = shares[:, None] * labels + (1 - shares[:, None]) * labels[partners]
    np.testing.assert_allclose(batches.batch(0, 0)[1], expected, rtol=1e-5)


def test_with_both_each_batch_has_one_of_the_two_by_a_fair_coin():
    images = data()
    both = MixedBatches(images.train, 0.4, 1.0, 3, None)
    alone = [MixedBatches(images.train, *alphas, 3, None) for alphas in ((0.4, 0.0), (0.0, 1.0))]
    kinds = []
    for epoch in range(40):
        for index in range(len(both)):
            pictures = both.batch(epoch, index)[0]
            same = [np.array_equal(pictures, one.batch(epoch, index)[0]) for one in alone]
            assert sum(same) == 1
            kinds.append(same[1])
    assert 0.4 < np.mean(kinds) < 0.6
    np.testing.assert_array_equal(both.batch(3, 1)[0], both.batch(3, 1)[0])
    assert not np.array_equal(both.batch(3, 1)[0], both.batch(4, 1)[0])


def test_classes_count_alike_where_weighted_examples_are_mixed():
    labels = np.array([0] * 90 + [1] * 10)
    weights = np.where(labels == 0, 100 / (2 * 90), 100 / (2 * 10)).astype("float32")
    totals = np.zeros(2)
    for epoch in range(200):
        partners, shares = mixing(0, epoch, 0, 100, 1.0)
        _, rows, mixed_weights = mixed((np.zeros((100, 1)), np.eye(2)[labels], weights), partners, shares)
        totals += (mixed_weights[:, None] * rows).sum(axis=0)
    assert totals[1] / totals.sum() == pytest.approx(0.5, abs=0.01)


def test_an_example_without_weight_mixed_with_another_has_none_and_no_nan():
    _, rows, weights = mixed((np.zeros((2, 1)), np.eye(2), np.zeros(2)), np.array([1, 0]), np.array([0.3, 0.6]))
    np.testing.assert_array_equal(weights, 0)
    assert np.isfinite(rows).all()

import keras
import numpy as np
import pytest

import kertl
from kertl.data import effective_weights
from tests.messages import assert_names


def data(counts=(40, 10, 3), **options):
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.arange(len(labels), dtype="uint8")[:, None, None, None] * np.ones((1, 4, 4, 3), "uint8")
    return kertl.data.from_arrays(images, labels, **{"validation": 0, "test": 0, "batch_size": 8, **options})


@pytest.mark.parametrize("beta", [0.0, 0.9, 0.999, 0.999999])
def test_effective_weights_are_those_of_the_paper_with_a_mean_of_one_over_the_examples(beta):
    counts = [500, 60, 7]
    found = effective_weights(counts, beta)
    sums = [sum(beta**power for power in range(count)) for count in counts]  # (1 - beta^n) / (1 - beta)
    np.testing.assert_allclose(found * sums, (found * sums)[0], rtol=1e-6)
    assert np.dot(found, counts) / np.sum(counts) == pytest.approx(1)


def test_effective_weights_lie_between_none_and_balanced_ones():
    counts = np.array([500, 60, 7])
    np.testing.assert_allclose(effective_weights(counts, 0.0), 1)
    np.testing.assert_allclose(effective_weights(counts, 1 - 1e-9), kertl.data.balanced_weights(counts), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (([3, 4], 1.0), ("`beta`", ">= 0", "< 1", "beta=1.0")),
        (([3, 0],), ("`counts`", ">= 1", "counts=[3, 0]")),
        (([3.0, 2.0],), ("`counts`", ">= 1", "counts=[3.0, 2.0]")),
    ],
)
def test_what_has_no_effective_number_is_refused(arguments, named):
    with pytest.raises(ValueError, match="Received") as caught:
        effective_weights(*arguments)
    assert_names(caught.value, *named)


def test_weights_by_class_are_those_of_the_training_part():
    found = data()
    assert found.weights_by_class(True) == found.class_weights
    assert list(found.weights_by_class("effective").values()) == effective_weights([40, 10, 3]).tolist()


def test_every_class_is_drawn_equally_often_and_no_image_twice_more_than_another():
    train = data().oversampled().train
    assert len(train) == 15
    firsts = set()
    for epoch in range(3):
        order = train.order(epoch)
        assert np.bincount(train.labels[order]).tolist() == [40, 40, 40]
        times = np.bincount(order, minlength=53)
        assert set(times[:40]) == {1}
        assert set(times[40:50]) == {4}
        assert sorted(times[50:]) == [13, 13, 14]
        firsts.add(int(np.argmax(times)))
        np.testing.assert_array_equal(order, data().oversampled().train.order(epoch))
        batch = train.batch(epoch, 14)
        np.testing.assert_array_equal(batch[0][:, 0, 0, 0], order[-8:])
        np.testing.assert_array_equal(batch[1], train.labels[order[-8:]])
    assert len(firsts) > 1, "which one comes once more changes"
    assert not np.array_equal(train.order(0), train.order(1))


def test_oversampling_leaves_the_data_itself_and_its_other_parts_alone():
    plain = data(validation=0.2)
    before = plain.train.order(0)
    over = plain.oversampled()
    np.testing.assert_array_equal(plain.train.order(0), before)
    assert over.validation is plain.validation
    assert len(over.train.in_order()) == len(plain.train)
    assert over.train.num_examples == plain.train.num_examples
    assert over.class_weights == {0: 1, 1: 1, 2: 1}, "what is oversampled does not count twice"


def test_a_fit_goes_through_oversampled_epochs():
    train = data((12, 4)).oversampled().train
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), jit_compile=False)
    model.fit(train, epochs=2, shuffle=False, verbose=0)
    assert train.epoch == 2


def test_images_without_a_single_class_are_not_oversampled():
    found = kertl.data.from_arrays(
        np.zeros((8, 4, 4, 3), "uint8"), np.arange(8.0), task="regression", validation=0, test=0
    )
    with pytest.raises(ValueError, match=r"`oversampled` .*one class per image.*task='regression'"):
        found.oversampled()


def test_oversampled_data_stay_so_at_another_size_and_in_other_batches():
    x = np.random.default_rng(0).integers(0, 256, (8, 4, 4, 3), np.uint8)
    data = kertl.data.from_arrays(x, [0] * 6 + [1] * 2, validation=0, test=0).oversampled()
    changed = data.changed(image_size=(6, 6), batch_size=5).train
    assert changed.order(3).tolist() == data.train.order(3).tolist()
    assert len(changed) == 3
    assert changed.in_order().order(0).tolist() == list(range(8))

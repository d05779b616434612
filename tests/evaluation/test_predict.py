import keras
import numpy as np
import pytest

import kertl
from tests.families import small_backbone
from tests.messages import assert_names


def test_test_time_augmentation_averages_with_versions_that_the_seed_decides(monkeypatch):
    pictures = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    data = kertl.data.from_arrays(pictures, [0, 1] * 5, validation=0, test=0, batch_size=4)
    model = kertl.build(small_backbone(), class_names=data.class_names)
    plain = kertl.predict(model, data.train)
    averaged = kertl.predict(model, data.train, views=3, seed=5)
    np.testing.assert_array_equal(averaged, kertl.predict(model, data.train, views=3, seed=5))
    assert not np.array_equal(averaged, kertl.predict(model, data.train, views=3, seed=6))
    assert not np.array_equal(averaged, plain)
    np.testing.assert_allclose(averaged.sum(axis=1), 1, rtol=1e-5)

    # mirrored by hand: every version of an image is the image itself or its mirror image
    monkeypatch.setattr(
        kertl.data.augment, "layers", lambda strength, channels=3: [keras.layers.RandomFlip("horizontal")]
    )
    mirrored = kertl.predict(
        model, kertl.data.from_arrays(pictures[:, :, ::-1], [0, 1] * 5, validation=0, test=0).train
    )
    versions = 4 * kertl.predict(model, data.train, views=3)[:, 0] - plain[:, 0]
    counts = (versions - 3 * plain[:, 0]) / (mirrored - plain)[:, 0]
    np.testing.assert_allclose(counts, np.round(counts), atol=0.02)
    assert set(np.round(counts)) <= {0, 1, 2, 3}
    assert len(set(np.round(counts))) > 1
    judged = kertl.evaluate(model, data.train, views=3)
    assert judged == kertl.evaluate(model, data.train, predictions=kertl.predict(model, data.train, views=3))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"views": -1}, ("`views`", ">= 0", "views=-1")),
        ({"views": 2, "augment": "none"}, ("`augment`", "`views`", "augment='none'")),
        ({"views": 2, "seed": -1}, ("`seed`", ">= 0", "seed=-1")),
    ],
)
def test_views_that_cannot_be_made_are_refused(options, named):
    data = kertl.data.from_arrays(np.zeros((4, 32, 32, 3), np.uint8), [0, 1] * 2, validation=0, test=0)
    model = kertl.build(small_backbone(), num_classes=2)
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.predict(model, data.train, **options)
    assert_names(caught.value, *named)

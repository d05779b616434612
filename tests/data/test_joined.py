import numpy as np
import pytest

import kertl.data
from kertl.data._readers import FileReader
from kertl.errors import DataError


@pytest.fixture(params=["files", "cached files", "arrays"])
def data(request, photos):
    if request.param == "arrays":
        x = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
        return kertl.data.from_arrays(x, [0, 1] * 20, class_names=["cat", "dog"], validation=0.3, test=0, batch_size=4)
    cache = "memory" if request.param == "cached files" else None
    return kertl.data.from_directory(
        photos, image_size=(4, 4), validation=0.3, test=0, batch_size=4, resize="crop", cache=cache
    )


def everything(dataset):
    """Images and labels in data order."""
    rows = np.arange(dataset.num_examples)
    return dataset.reader.take(rows), dataset.labels


def test_joined_parts_come_one_after_the_other(data):
    both = kertl.data.joined([data.train, data.validation])
    parts = [everything(part) for part in (data.train, data.validation)]
    for one, *expected in zip(everything(both), *parts, strict=True):
        np.testing.assert_array_equal(one, np.concatenate(expected))
    assert both.files == data.train.files + data.validation.files
    assert both.digests == data.train.digests + data.validation.digests
    assert (both.class_names, both.task, both.batch_size, both.seed) == (["cat", "dog"], "single_label", 4, 0)
    assert not both.shuffle
    assert len(both) == 10


def test_a_subset_of_joined_parts_has_their_images_in_any_order_and_at_any_size(data):
    both = kertl.data.joined([data.train, data.validation])
    rows = np.random.default_rng(1).permutation(40)[:25]
    fold = both.subset(rows).subset(np.arange(20)[::-1])
    expected = rows[:20][::-1]
    for size in ((8, 8), (6, 5)):
        whole, labels = everything(both.changed(image_size=size))
        images, chosen = everything(fold.changed(image_size=size))
        np.testing.assert_array_equal(images, whole[expected])
        np.testing.assert_array_equal(chosen, labels[expected])
    assert fold.files == [both.files[row] for row in expected]


def test_joining_tells_files_from_arrays_as_the_parts_do(data):
    both = kertl.data.joined([data.train, data.validation])
    assert both.subset(np.arange(3)).reader.file_resize == data.train.reader.file_resize
    if isinstance(data.train.reader, FileReader):
        assert isinstance(both.reader, FileReader)


def test_files_and_arrays_may_be_joined(photos):
    files = kertl.data.from_directory(photos, image_size=(4, 4), validation=0, test=0).train
    arrays = kertl.data.from_arrays(
        np.full((4, 4, 4, 3), 7, np.uint8), [0, 1, 0, 1], class_names=["cat", "dog"], validation=0, test=0
    ).train
    both = kertl.data.joined([files, arrays])
    assert both.reader.file_resize is None
    np.testing.assert_array_equal(both.reader.take(np.array([42, 3, 40]))[[0, 2]], np.full((2, 4, 4, 3), 7))


def test_parts_that_do_not_go_together_are_refused(data, photos):
    for other, named in (
        (data.validation.changed(image_size=(5, 5)), "image_size"),
        (data.validation.relabelled(["dog", "cat"]), "class_names"),
        (data.validation.relabelled(["cat", "dog"], "binary"), "task"),
        (kertl.data.images(photos, image_size=data.image_size), "class_names"),
    ):
        with pytest.raises(DataError, match=named):
            kertl.data.joined([data.train, other])
    with pytest.raises(ValueError, match="parts"):
        kertl.data.joined([])

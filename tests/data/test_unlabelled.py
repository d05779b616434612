import keras
import numpy as np
import pytest

import kertl.data
from kertl.errors import DataError
from tests.messages import assert_names


def test_files_and_folders_are_read_in_the_order_given(photos):
    (photos / "dog" / "empty.png").touch()
    given = [photos / "dog" / "3.png", photos / "cat", photos / "dog" / "empty.png"]
    dataset = kertl.data.images(given, image_size=(4, 4), batch_size=8)
    assert dataset.files == [str(given[0]), *sorted(str(path) for path in (photos / "cat").iterdir())]
    (issue,) = dataset.issues
    assert issue.path == str(given[2])
    assert_names(issue.reason, "0 bytes")
    assert [len(batch) for batch in dataset] == [1, 1, 1]
    np.testing.assert_array_equal(dataset[0][0][0], kertl.data.read_image(given[0], (4, 4)))


def test_predict_gives_one_row_per_file_in_order(photos):
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.GlobalAveragePooling2D()])
    dataset = kertl.data.images(str(photos / "cat"), image_size=(4, 4), batch_size=8)
    rows = model.predict(dataset, verbose=0)
    expected = [kertl.data.read_image(file, (4, 4)).mean((0, 1)) for file in dataset.files]
    np.testing.assert_allclose(rows, expected)


def test_no_usable_file_is_an_error(tmp_path):
    with pytest.raises(DataError) as raised:
        kertl.data.images(tmp_path / "a.png", image_size=(4, 4))
    assert_names(raised.value, "`paths`", repr(str(tmp_path / "a.png")), "No such file or directory")

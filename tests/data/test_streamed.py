"""Files that are each read once to predict on them."""

import numpy as np
import pytest

import kertl
from kertl.data import _streamed
from kertl.data._streamed import FileBatches
from kertl.errors import DataError
from tests.data.faults import scene
from tests.evaluation.pictures import NAMES, by_padding
from tests.messages import assert_names


@pytest.fixture
def decoded(monkeypatch):
    """The files that were decoded, in the order in which that happened."""
    seen, read = [], _streamed.read_file
    monkeypatch.setattr(_streamed, "read_file", lambda path: (seen.append(path), read(path))[1])
    return seen


@pytest.fixture
def folder(tmp_path):
    for k in range(7):
        scene(20 + k, 40, seed=k).save(tmp_path / f"{k}.png")
    return tmp_path


def model():
    return by_padding(resize="stretch")


@pytest.mark.parametrize("views", [0, 2])
def test_every_file_is_decoded_once(folder, decoded, views):
    (folder / "3.png").write_bytes(b"no picture")
    dataset = kertl.data.images(folder, image_size=(16, 16))
    del decoded[:]
    found = kertl.predict(model(), folder, views=views, seed=3)
    assert sorted(decoded) == [str(folder / f"{k}.png") for k in range(7)]
    np.testing.assert_allclose(found, kertl.predict(model(), dataset, views=views, seed=3), rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_are_full_whatever_is_left_out(folder, batch_size):
    (folder / "3.png").write_bytes(b"")
    batches = FileBatches([folder], image_size=(8, 8), batch_size=batch_size)
    sizes = [len(images) for images in batches]
    assert sizes == [len(range(6)[at : at + batch_size]) for at in range(0, 6, batch_size)]
    assert batches.files == [str(folder / f"{k}.png") for k in range(7) if k != 3]
    assert [issue.path for issue in batches.issues] == [str(folder / "3.png")]
    pixels = np.concatenate(list(batches))  # a second pass
    np.testing.assert_array_equal(pixels, kertl.data.images(folder, image_size=(8, 8))[0][0])
    said = kertl.predict(model(), FileBatches([folder], image_size=(16, 16), batch_size=batch_size), views=1)
    assert said.shape == (6, len(NAMES))


def test_what_was_begun_is_used_once_and_a_pass_that_broke_off_leaves_nothing(folder, decoded):
    batches = FileBatches([folder], image_size=(8, 8), batch_size=2)
    batches.start()
    first = np.concatenate(list(batches))
    assert sorted(decoded) == [str(folder / f"{k}.png") for k in range(7)]
    next(iter(batches))
    np.testing.assert_array_equal(np.concatenate(list(batches)), first)
    assert batches.files == [str(folder / f"{k}.png") for k in range(7)]


def test_few_files_are_read_ahead(folder, decoded):
    batches = iter(FileBatches([folder] * 20, image_size=(8, 8), batch_size=4))
    next(batches)
    assert len(decoded) <= 8


def test_a_file_that_is_named_must_be_readable_wherever_it_comes(folder):
    (folder / "6.png").write_bytes((folder / "6.png").read_bytes()[:-40])
    given = sorted(folder.iterdir())
    with pytest.raises(DataError, match=r"(?s)^Every image that is named must be readable.*6\.png. is truncated"):
        kertl.predict(model(), FileBatches(given, image_size=(16, 16), batch_size=1))
    assert len(kertl.predict(model(), FileBatches(given, image_size=(16, 16), strict=False))) == 6


def test_what_is_not_there_is_said_before_anything_is_decoded(folder, decoded):
    given = [*sorted(folder.iterdir()), *(folder / f"gone{k}.png" for k in range(4))]
    with pytest.raises(DataError) as raised:
        kertl.predict(model(), given)
    assert_names(raised.value, *(repr(str(path)) for path in given[-4:-1]), "No such file or directory")
    assert not [path for path in decoded if "gone" not in path]


def test_no_file_that_can_be_used_is_an_error(folder):
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError) as raised:
        kertl.predict(model(), folder)
    assert_names(raised.value, "None of the 7 files", "`paths`", "0 bytes", "4 more")
    (folder / "none").mkdir()
    with pytest.raises(DataError, match="without a file in it"):
        kertl.predict(model(), folder / "none")
    with pytest.raises(ValueError, match="batch_size"):
        kertl.evaluation.images_for(model(), [folder], batch_size=0)

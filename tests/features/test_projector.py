"""Files for the embedding projector; tests/runner/test_board.py reads them through TensorBoard itself."""

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

import kertl
from kertl.features import write_projector
from tests.messages import assert_names
from tests.runs import squares

MAPS = np.random.default_rng(0).normal(size=(24, 2, 2, 5)).astype("float32")


def config(folder):
    return text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings


def test_maps_become_a_vector_per_image(tmp_path):
    write_projector(MAPS, tmp_path, name="two by two")
    (one,) = config(tmp_path)
    assert (one.tensor_name, one.metadata_path, one.sprite.image_path) == ("two by two", "", "")
    np.testing.assert_allclose(np.loadtxt(tmp_path / one.tensor_path), MAPS.mean(axis=(1, 2)), rtol=1e-5)


def test_the_sprite_has_the_pictures_in_reading_order(tmp_path):
    images = squares(per_class=8, validation=0, test=0).train.in_order()
    write_projector(MAPS, tmp_path, images)
    (one,) = config(tmp_path)
    side = one.sprite.single_image_dim[0]
    sprite = np.asarray(Image.open(tmp_path / one.sprite.image_path), float)
    assert sprite.shape == (5 * side, 5 * side, 3)  # 24 pictures in rows of five
    for number in (0, 7, 23):
        top, left = number // 5 * side, number % 5 * side
        shown = sprite[top : top + side, left : left + side].mean(axis=(0, 1))
        np.testing.assert_allclose(shown, images.reader.take(np.array([number]))[0].mean(axis=(0, 1)), atol=2)
    assert (sprite[-side:, -side:] == 255).all()


def test_a_few_of_many_are_spread_over_all(tmp_path):
    data = squares(per_class=8, validation=0, test=0)
    write_projector(MAPS, tmp_path, data.train, most=4)
    labels = (tmp_path / "features_labels.tsv").read_text().splitlines()[1:]
    rows = [0, 7, 15, 23]
    assert labels == [f"{data.class_names[data.train.labels[row]]}\t{data.train.files[row]}" for row in rows]


def test_several_features_stand_side_by_side_and_one_name_once(tmp_path):
    for name, columns in (("deep", 5), ("mid", 4), ("deep", 3)):
        write_projector(MAPS[..., :columns], tmp_path, name=name)
    assert sorted(one.tensor_name for one in config(tmp_path)) == ["deep", "mid"]
    assert np.loadtxt(tmp_path / "deep_vectors.tsv").shape == (24, 3)


def test_what_does_not_fit_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Received") as caught:
        write_projector(MAPS, tmp_path, squares(per_class=4, validation=0, test=0).train)
    assert_names(caught.value, "`images`", "the 24", "images=12")
    with pytest.raises(ValueError, match="Received") as caught:
        write_projector(MAPS, tmp_path, name="../deep")
    assert_names(caught.value, "`name`", "letters", "'../deep'")
    (tmp_path / "projector_config.pbtxt").write_text("nonsense {")
    with pytest.raises(ValueError, match="Received") as caught:
        write_projector(MAPS, tmp_path)
    assert_names(caught.value, "`log_dir`", "projector_config.pbtxt", "Remove it")


@pytest.mark.parametrize("task", ["multi_label", "regression"])
def test_labels_of_every_task_are_told_in_words(tmp_path, task):
    y = np.array([[1, 0], [1, 1], [0, 0], [0, 1]] * 2, "float32")
    x = np.zeros((8, 8, 8, 3), "uint8")
    names = ["cat", "dog"]
    data = kertl.data.from_arrays(x, y, task=task, class_names=names, validation=0, test=0)
    write_projector(MAPS[:8], tmp_path, data.train)
    told = [line.split("\t")[0] for line in (tmp_path / "features_labels.tsv").read_text().splitlines()[1:5]]
    assert told == (["cat", "cat, dog", "none", "dog"] if task == "multi_label" else ["1, 0", "1, 1", "0, 0", "0, 1"])

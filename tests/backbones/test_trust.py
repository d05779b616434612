"""Files that become huge when they are read, and weights that are no numbers."""

import json
import re
import struct
import zipfile

import h5py
import keras
import numpy as np
import pytest

import kertl
from kertl.errors import WeightsError
from kertl.inspection import _trust
from tests.families import small_backbone, small_classifier
from tests.messages import assert_names
from tests.runs import NAMES, python, squares


def bomb(folder, form):
    """A small model file with an array of 2 GB of zeros in it."""
    path = folder / f"theirs{form}"
    if form == ".keras":
        small_classifier().save(path)
        (folder / "weights.h5").write_bytes(zipfile.ZipFile(path).read("model.weights.h5"))
        add_zeros(folder / "weights.h5")
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        members["model.weights.h5"] = (folder / "weights.h5").read_bytes()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
    else:
        small_backbone().save_weights(path)
        add_zeros(path)
    return path


def add_zeros(path):
    with h5py.File(path, "a") as file:
        file.create_dataset("bomb", (500, 2**20), "float32", compression="gzip", chunks=(1, 2**20), fillvalue=0)
        file["bomb"][0] = 0


@pytest.mark.parametrize("form", [".keras", ".weights.h5"])
def test_a_file_that_would_become_huge_is_not_read(tmp_path, form):
    path = bomb(tmp_path, form)
    assert path.stat().st_size < 2**21
    calls = [lambda: kertl.load_backbone("VGG16", weights=path, input_shape=(32, 32, 3))]
    if form == ".keras":
        calls += [lambda: kertl.load(path), lambda: kertl.load_backbone(path)]
    for call in calls:
        with pytest.raises(WeightsError) as caught:
            call()
        assert_names(caught.value, path, "'bomb'", "2,097,152,000 bytes")


@pytest.mark.promise
@pytest.mark.slow
def test_reading_a_bomb_takes_no_memory(tmp_path):
    path = bomb(tmp_path, ".keras")
    peak = python(
        f"""
        import resource, kertl, keras
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            kertl.load({str(path)!r})
        except kertl.errors.WeightsError:
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        """
    )
    assert int(peak) < 600_000, "kilobytes, most of them of Keras and TensorFlow"


def test_a_compressed_member_that_would_become_huge_is_not_read(tmp_path):
    small_classifier().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("kertl.json", b" " * (2**27))
    with pytest.raises(WeightsError, match=r"'kertl\.json'.* 134,217,728 bytes"):
        kertl.load(tmp_path / "m.keras")


def noted(path, **changes):
    """A saved model with other notes."""
    keras.utils.set_random_seed(0)
    model = kertl.build(kertl.load_backbone(small_backbone()), class_names=["a", "b", "c", "d"])
    kertl.save(model, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["kertl.json"] = json.dumps({**json.loads(members["kertl.json"]), **changes})
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"class_names": ["a", "b"]}, ("4 outputs", "2 class names")),
        ({"class_names": ["a", "b", "c", 4]}, ("class_names", "different texts")),
        ({"class_names": ["a", "b", "c", "c"]}, ("class_names", "different texts")),
        ({"task": "guess"}, ("task", "single_label")),
        ({"thresholds": [0.5, 0.5]}, ("4 outputs", "2 thresholds")),
    ],
)
def test_notes_that_do_not_go_with_the_model_are_refused(tmp_path, changes, named):
    with pytest.raises(WeightsError) as caught:
        kertl.load(noted(tmp_path / "m.keras", **changes))
    assert_names(caught.value, "kertl.json", *named)


@pytest.mark.parametrize("member", ["kertl.json", "config.json"])
def test_members_nested_too_deeply_are_refused(tmp_path, member):
    small_classifier().save(tmp_path / "theirs.keras")
    with zipfile.ZipFile(tmp_path / "theirs.keras") as archive, zipfile.ZipFile(tmp_path / "m.keras", "w") as made:
        for name in {*archive.namelist()} - {member}:
            made.writestr(name, archive.read(name))
        made.writestr(member, "[" * 100_000 + "]" * 100_000)
    for load in (kertl.load, kertl.load_backbone):
        if load is kertl.load or member == "config.json":  # what kertl notes is not read of a backbone
            with pytest.raises(WeightsError, match=r"m\.keras"):
                load(tmp_path / "m.keras")


@pytest.mark.parametrize(("number", "told"), [(np.nan, "NaN"), (-np.inf, "infinity")])
def test_weights_that_are_no_numbers_are_refused_at_every_door(tmp_path, number, told):
    backbone = kertl.load_backbone(small_backbone())
    model = kertl.build(backbone, class_names=NAMES)
    kernel = next(weight for weight in model.weights if "block2_conv" in weight.path)
    value = np.array(kernel)
    value[0, 0, 0, 0] = number
    kernel.assign(value)
    kertl.save(model, tmp_path / "m.keras")
    data = squares()
    images = np.zeros((2, 32, 32, 3), "uint8")
    for call in (
        lambda: kertl.load(tmp_path / "m.keras"),
        lambda: kertl.load_backbone(tmp_path / "m.keras"),
        lambda: kertl.load_backbone(model),
        lambda: kertl.build(backbone, class_names=NAMES),
        lambda: kertl.fine_tune(model, data, recipe="deep", verbose=0),
        lambda: kertl.baselines(model, data),
        lambda: kertl.cross_validate(model, data, recipe="deep"),
        lambda: kertl.lr_range_test(model, data),
        lambda: kertl.extract(model, images),
        lambda: kertl.predict(model, images),
        lambda: kertl.evaluate(model, (images, NAMES[:2])),
    ):
        with pytest.raises(WeightsError, match=rf"Received: {told} in '.*block2_conv"):
            call()


def test_a_model_file_whose_description_is_damaged_is_named(tmp_path):
    path = tmp_path / "theirs.keras"
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(2)]).save(path)
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("config.json")
    content = bytearray(path.read_bytes())
    content[member.header_offset + 60] ^= 0xFF
    path.write_bytes(content)
    for read in (kertl.load, kertl.load_backbone):
        with pytest.raises(WeightsError, match=re.escape(repr(str(path)))):
            read(path)


@pytest.fixture
def endless(tmp_path):
    """A file whose list of free space in a group leads back to its own beginning."""
    path = tmp_path / "endless.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.create_group("model_weights").create_dataset("a", data=[1.0, 2.0])
    content, place = bytearray(path.read_bytes()), 0
    while (place := content.find(b"HEAP", place)) >= 0:
        size, free, address = struct.unpack_from("<QQQ", content, place + 8)
        first = min(free, size - 16)
        struct.pack_into("<Q", content, place + 16, first)
        struct.pack_into("<QQ", content, address + first, first, 16)
        place += 4
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "read",
    [kertl.load, lambda path: kertl.load_backbone("MobileNetV2", weights=path, input_shape=(32, 32, 3))],
    ids=["a model", "weights"],
)
def test_a_file_in_which_reading_does_not_end_is_refused(read, endless, monkeypatch):
    monkeypatch.setattr(_trust, "_PATIENCE_SECONDS", 10.0)
    with pytest.raises(WeightsError, match="does not end, or takes too much memory"):
        read(endless)

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import kertl
from kertl.errors import DataError, RunError
from kertl.features import _job, _passes
from kertl.features._layout import Layout
from kertl.features._store import Store, _stem
from tests.families import Silent
from tests.features import extraction
from tests.marks import some_of
from tests.messages import assert_names
from tests.runs import REPOSITORY


@pytest.fixture(scope="module")
def model():
    return extraction.model()


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(_job, "_SHARD_BYTES", 32 * 24 * 4)  # one batch of deep features


def pictures(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype="uint8")


@pytest.fixture
def counted(monkeypatch):
    """The numbers of the images that were computed, one list for each pass."""
    passes = []
    whole = _passes.one_pass

    def one_pass(source, rows, *arguments, **options):
        passes.append(rows.tolist())
        return whole(source, rows, *arguments, **options)

    monkeypatch.setattr(_job, "one_pass", one_pass)
    return passes


def test_what_is_kept_is_not_computed_again(model, tmp_path, counted):
    x = pictures(70)
    first = kertl.extract(model, x, cache_dir=tmp_path)
    again = kertl.extract(model, x, cache_dir=tmp_path)
    assert counted == [list(range(70))]
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.values, kertl.extract(model, x).values)


def test_added_images_are_extracted_alone_changed_ones_again_and_unused_ones_stay(model, tmp_path, counted):
    x = pictures(70)
    kertl.extract(model, x[:50], cache_dir=tmp_path)
    changed = x.copy()
    changed[3, 0, 0, 0] ^= 1
    kertl.extract(model, changed, cache_dir=tmp_path)
    assert counted[1:] == [[3, *range(50, 70)]]
    found = kertl.extract(model, x[::-1], cache_dir=tmp_path)
    assert len(counted) == 2
    # The same image in another place of a batch may differ in its last bits.
    np.testing.assert_allclose(found.values, kertl.extract(model, x[::-1]).values, rtol=1e-5, atol=1e-6)


def test_images_that_are_the_same_are_computed_once_and_given_to_each(model, tmp_path, counted):
    x = pictures(3)[[0, 1, 0, 2, 1]]
    features = kertl.extract(model, x, cache_dir=tmp_path)
    assert counted == [[0, 1, 3]]
    np.testing.assert_array_equal(features.values[2], features.values[0])
    np.testing.assert_allclose(features.values, kertl.extract(model, x).values, rtol=1e-5, atol=1e-6)


def test_features_in_files_are_read_like_an_array(model, tmp_path, small_shards):
    x = pictures(100)
    kept = kertl.extract(model, x, at="mid", cache_dir=tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == 4
    expected = kertl.extract(model, x, at="mid").values
    values = kept.values
    assert (values.shape, values.dtype, values.ndim, len(values)) == (expected.shape, expected.dtype, 4, 100)
    random = np.random.default_rng(0)
    for index in (
        5,
        -1,
        slice(10, 70, 3),
        slice(None),
        [90, 3, 3, 40],
        random.permutation(100),
        np.arange(100) % 7 == 0,
        (slice(2), 1),
        (4, slice(None), 2),
    ):
        np.testing.assert_array_equal(values[index], expected[index])
    for rows in (random.permutation(100), [], [99, 0, 0]):
        np.testing.assert_array_equal(kept.take(np.array(rows, int)), expected[np.array(rows, int)])
    with pytest.raises(IndexError):
        values[100]
    np.testing.assert_array_equal(np.asarray(values, "float64"), expected.astype("float64"))


def test_a_shard_is_a_plain_file_of_numpy_beside_a_manifest(model, tmp_path):
    features = kertl.extract(model, pictures(5), cache_dir=tmp_path)
    (path,) = tmp_path.rglob("*.npy")
    np.testing.assert_array_equal(np.load(path), features.values)
    manifest = json.loads(path.with_suffix(".json").read_text())
    assert sorted(manifest) == ["dtype", "format", "images", "key", "sha256", "shapes"]
    assert manifest["shapes"] == [[24]]
    assert len(manifest["images"]) == 5


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << int(place) % 8
    path.write_bytes(content)


@pytest.mark.promise
@pytest.mark.slow
def test_every_flipped_bit_is_found_and_the_images_extracted_again(tmp_path, caplog):
    layout = Layout(((3,),), "float32")
    digests = np.array([bytes([k]) * 32 for k in range(1, 5)], "S32")
    rows = np.arange(12, dtype="float32").reshape(4, 3)
    Store(tmp_path, "key", layout).write(digests, rows)
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        for place in range(len(whole)):
            caplog.clear()
            flip(path, place)
            store = Store(tmp_path, "key", layout)
            known = store.find(digests)
            if known.any():  # white space, or upper case in the place of lower
                assert path.suffix == ".json"
                np.testing.assert_array_equal(store.rows(digests[known]).take(np.arange(known.sum())), rows[known])
            else:
                assert "is damaged" in caplog.text
                assert repr(str(path.with_suffix(".json"))) in caplog.text
                assert not list(tmp_path.iterdir())
            Store(tmp_path, "key", layout).write(digests, rows)
            assert path.read_bytes() == whole


def test_a_shard_that_has_fewer_rows_than_its_manifest_says_is_not_used(tmp_path):
    layout = Layout(((3,),), "float32")
    digests = np.array([bytes([k]) * 32 for k in range(1, 5)], "S32")
    rows = np.arange(12, dtype="float32").reshape(4, 3)
    Store(tmp_path, "key", layout).write(digests, rows)
    (path,) = tmp_path.glob("*.npy")
    manifest = json.loads(path.with_suffix(".json").read_text())
    content = path.read_bytes()[:-12]
    sha256 = hashlib.sha256(content).hexdigest()
    for old in tmp_path.iterdir():
        old.unlink()
    stem = _stem(sha256, digests)
    (tmp_path / f"{stem}.npy").write_bytes(content)
    (tmp_path / f"{stem}.json").write_text(json.dumps({**manifest, "sha256": sha256}))
    assert not Store(tmp_path, "key", layout).find(digests).any()
    assert not list(tmp_path.iterdir())


def test_the_list_of_the_images_of_a_shard_stays_short(model, tmp_path, monkeypatch):
    monkeypatch.setattr(_job, "_SHARD_IMAGES", 32)
    kertl.extract(model, pictures(70), cache_dir=tmp_path)
    assert sorted(len(json.loads(path.read_text())["images"]) for path in tmp_path.rglob("*/*.json")) == [6, 32, 32]


@pytest.mark.parametrize("damage", ["npy", "json", "deep", "gone", "empty", "foreign", "swapped"])
def test_a_damaged_or_foreign_shard_is_named_removed_and_its_images_extracted_again(
    model, tmp_path, small_shards, counted, caplog, damage
):
    x = pictures(96)
    expected = np.asarray(kertl.extract(model, x, cache_dir=tmp_path).values)
    first, second, _ = sorted(tmp_path.rglob("*.npy"))
    if damage == "npy":
        first.write_bytes(first.read_bytes()[:-100])
    elif damage == "json":
        first.with_suffix(".json").write_text(first.with_suffix(".json").read_text()[:-100])
    elif damage == "deep":
        first.with_suffix(".json").write_text("[" * 100_000)
    elif damage == "gone":
        first.unlink()
    elif damage == "empty":
        first.write_bytes(b"")
    elif damage == "foreign":
        manifest = json.loads(first.with_suffix(".json").read_text())
        first.with_suffix(".json").write_text(json.dumps({**manifest, "key": "another"}))
    else:
        content = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(content)
    with caplog.at_level(logging.WARNING, logger="kertl"):
        features = kertl.extract(model, x, cache_dir=tmp_path)
    np.testing.assert_array_equal(features.values, expected)
    broken = [first, second] if damage == "swapped" else [first]
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warned) == len(broken)
    for path in broken:
        (said,) = (one for one in warned if repr(str(path.with_suffix(".json"))) in one)
        assert_names(said, "damaged", "extracted again")
        assert ("belongs" in said) == (damage in ("json", "deep", "foreign"))
    assert len(counted[1]) == 32 * len(broken)
    caplog.clear()
    kertl.extract(model, x, cache_dir=tmp_path)
    assert len(counted) == 2
    assert not caplog.messages


def test_a_shard_that_goes_while_it_is_in_use_is_an_error_that_names_it(model, tmp_path):
    features = kertl.extract(model, pictures(3), cache_dir=tmp_path)
    (path,) = tmp_path.rglob("*.npy")
    path.unlink()
    with pytest.raises(DataError) as caught:
        features.take([1])
    assert_names(caught.value, path, "removed")


def test_a_folder_that_cannot_be_written_is_an_error_that_names_it(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        kertl.extract(model, pictures(3), cache_dir=tmp_path / "file" / "cache", engine="keras")


# Keys ----------------------------------------------------------------------------------------------------------


def changed_weight(model):
    variable = model.get_layer("small").get_layer("block1_conv").bias
    value = np.array(variable)
    value[0] += 1e-3
    variable.assign(value)


def changed_statistics(model):
    variable = model.get_layer("small").get_layer("stem_bn").moving_variance
    variable.assign(np.array(variable) * 1.01)


def changed_setting(model):
    model.get_layer("small").get_layer("block3_bn").epsilon = 0.1


@pytest.mark.parametrize("change", [changed_weight, changed_statistics, changed_setting])
def test_another_model_never_gets_the_features_of_this_one(tmp_path, change):
    model, x = extraction.model(), pictures(3)
    before = np.asarray(kertl.extract(model, x, cache_dir=tmp_path).values)
    change(model)
    prefix, _ = kertl.split(model, "deep")
    found = kertl.extract(model, x, cache_dir=tmp_path)
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    assert not np.array_equal(found.values, before)
    np.testing.assert_allclose(found.values, prefix(x.astype("float32")), rtol=1e-4, atol=1e-6)


def test_the_same_layers_joined_otherwise_are_another_model(tmp_path):
    def joined(order):
        inputs = keras.Input((32, 32, 3))
        x = inputs
        for number in order:
            x = layers[number](x)
        return keras.Model(inputs, x)

    layers = [keras.layers.Rescaling(0.5, offset=1.0), keras.layers.Conv2D(3, 1), keras.layers.Conv2D(3, 1)]
    x = pictures(2)
    found = [np.asarray(kertl.extract(joined(order), x, cache_dir=tmp_path).values) for order in ((0, 1, 2), (0, 2, 1))]
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_operations_between_the_layers_belong_to_the_model(tmp_path):
    def scaled(factor):
        inputs = keras.Input((32, 32, 3))
        return keras.Model(inputs, conv(inputs * factor))

    conv = keras.layers.Conv2D(3, 1)
    one, two = (np.asarray(kertl.extract(scaled(k), pictures(2), cache_dir=tmp_path).values) for k in (1.0, 2.0))
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-4)


def test_a_layer_that_does_not_tell_its_settings_is_an_error_on_disk_and_none_in_memory(tmp_path):
    inputs = keras.Input((32, 32, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1)(Silent(2.0)(inputs)))
    assert kertl.extract(model, pictures(2)).values.shape == (2, 32, 32, 3)
    with pytest.raises(ValueError, match="`model`") as caught:
        kertl.extract(model, pictures(2), cache_dir=tmp_path)
    assert_names(caught.value, "`model`", "'silent'", "class Silent", "`get_config`", "cache_dir=None")


DIFFERENT = {
    "boundary": {"at": "block4"},
    "engine": {"engine": "keras"},
    "precision": {"precision": "mixed_bfloat16"},
    "dtype": {"dtype": "float16"},
    "augmentation": {"augment": "light", "views": 1},
    "a list of transformations": {"augment": ["flip", ("hue", 0.1)], "views": 1},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_whatever_features_depend_on_keeps_them_apart(model, tmp_path, name):
    kertl.extract(model, pictures(3), cache_dir=tmp_path)
    kertl.extract(model, pictures(3), cache_dir=tmp_path, **DIFFERENT[name])
    folders = {path.parent for path in tmp_path.rglob("*.npy")}
    assert len(folders) == 2


@pytest.mark.promise
@pytest.mark.slow
def test_augmented_versions_are_kept_apart_by_strength_seed_and_settings(model, tmp_path, monkeypatch):
    def kept(**options):
        options = {"augment": "light", "views": 2, **options}
        found = kertl.extract(model, pictures(3), cache_dir=tmp_path, **options)
        return [np.asarray(found.view(number)) for number in range(2)]

    one = kept()
    others = [kept(seed=1), kept(augment="strong")]
    others += [kept(augment=["rand_augment", "color_jitter"]), kept(augment=["rand_augment", ("color_jitter", 0.2)])]
    layers = kertl.data.augment.layers

    def brighter(strength, channels):
        found = layers(strength)
        return [found[0], keras.layers.RandomBrightness(0.9, value_range=(0, 255), name=found[1].name), *found[2:]]

    monkeypatch.setattr(kertl.data.augment, "layers", brighter)
    others.append(kept())
    assert len({path.parent for path in tmp_path.rglob("*.npy")}) == 12
    assert not np.array_equal(one[0], one[1])
    for other in others:
        assert not np.array_equal(one[0], other[0])
    monkeypatch.undo()
    assert all(np.array_equal(a, b) for a, b in zip(kept(), one, strict=True))


def test_the_same_images_in_the_same_batches_are_varied_alike_in_memory_and_on_disk(model, tmp_path):
    options = {"augment": "strong", "views": 3, "seed": 5, "at": "mid"}
    kept = kertl.extract(model, pictures(40), cache_dir=tmp_path, **options)
    other = kertl.extract(extraction.model(), pictures(40), **options)
    for number in range(3):
        np.testing.assert_array_equal(kept.view(number), other.view(number))
    assert not np.array_equal(other.view(0), other.view(1))


def test_augmented_versions_are_those_of_the_layers_in_training(tmp_path):
    inputs = keras.Input((32, 32, 3))
    identity = keras.layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer="ones")
    model = keras.Model(inputs, identity(inputs))
    x = pictures(64)
    features = kertl.extract(model, x, augment="light", views=4)
    mirrored = brightened = 0
    for number in range(4):
        for picture, found in zip(x.astype("float32"), np.asarray(features.view(number)), strict=True):
            shifts = [np.median(found - one) for one in (picture, picture[:, ::-1])]
            differences = [
                np.abs(found - np.clip(one + shift, 0, 255)).max()
                for one, shift in zip((picture, picture[:, ::-1]), shifts, strict=True)
            ]
            assert min(differences) < 0.01
            mirrored += differences[1] < differences[0]
            brightened += abs(shifts[int(np.argmin(differences))]) > 1
            assert abs(shifts[int(np.argmin(differences))]) <= 25.5 + 0.01
    assert 0.35 < mirrored / 256 < 0.65
    assert brightened > 200


def test_files_are_known_by_their_content_and_decoded_only_where_they_are_new(model, tmp_path, counted):
    from PIL import Image

    for k, picture in enumerate(pictures(12)):
        folder = tmp_path / "photos" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{k}.png")
    options = {"image_size": (32, 32), "validation": 0, "test": 0}
    data = kertl.data.from_directory(tmp_path / "photos", **options).train
    expected = kertl.extract(model, data).values
    kertl.extract(model, data, cache_dir=tmp_path / "cache")
    taken = data.reader.take
    data.reader.take = None
    found = kertl.extract(model, data, cache_dir=tmp_path / "cache")
    np.testing.assert_array_equal(found.values, expected)
    data.reader.take = taken
    cropped = kertl.data.from_directory(tmp_path / "photos", **options, resize="crop").train
    kertl.extract(model, cropped, cache_dir=tmp_path / "cache")
    assert len({path.parent for path in (tmp_path / "cache").rglob("*.npy")}) == 2
    Image.fromarray(pictures(1, seed=9)[0]).save(tmp_path / "photos" / "a" / "0.png")
    stale = [kertl.data.from_directory(tmp_path / "photos", **options).train, data]
    kertl.extract(model, stale[0], cache_dir=tmp_path / "cache")
    assert counted[-1] == [0]


def test_a_file_that_changed_since_the_data_were_made_is_never_kept(model, tmp_path):
    from PIL import Image

    for k, picture in enumerate(pictures(4)):
        folder = tmp_path / "photos" / "ab"[k % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{k}.png")
    data = kertl.data.from_directory(tmp_path / "photos", image_size=(32, 32), validation=0, test=0).train
    path = tmp_path / "photos" / "b" / "3.png"
    Image.fromarray(pictures(1, seed=9)[0]).save(path)
    with pytest.raises(DataError) as caught:
        kertl.extract(model, data, cache_dir=tmp_path / "cache")
    assert_names(caught.value, path, "changed")
    assert not list((tmp_path / "cache").rglob("*.npy"))


# Broken off ----------------------------------------------------------------------------------------------------


def start(folder, views):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "tests.features.extraction", str(folder), str(views)]
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "go\n"
    return process


def shards(folder):
    """Whole ones: the manifest is written last."""
    return len(list(folder.rglob("*.json")))


def killed(folder, views, rounds, seed):
    """Kill an extraction some moments after each of its first shards, and let it go on each time."""
    random = np.random.default_rng(seed)
    for _ in range(rounds):
        before, process = shards(folder), start(folder, views)
        while shards(folder) < before + max(1, views) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.communicate()


def same_as_undisturbed(folder, views):
    augmented = {"augment": "strong", "views": views} if views else {}
    found = extraction.extract(folder, **augmented)
    expected = kertl.extract(extraction.model(), extraction.data(), at="mid", engine="keras", **augmented)
    for number in range(max(1, views)):
        np.testing.assert_array_equal(found.view(number), expected.view(number))


@pytest.mark.promise
@pytest.mark.slow
@pytest.mark.parametrize("views", some_of([0, 2], 0))
def test_an_extraction_killed_at_any_moment_goes_on_and_ends_with_the_same_bits(tmp_path, counted, views):
    killed(tmp_path, views, rounds=2, seed=views)
    assert shards(tmp_path) >= 2
    same_as_undisturbed(tmp_path, views)
    assert 0 < len(counted[0]) < 3200


@pytest.mark.slow
@pytest.mark.parametrize("views", [0, 2])
def test_an_extraction_killed_twenty_times_ends_with_the_same_bits(tmp_path, views):
    for number in range(4):
        folder = tmp_path / str(number)
        killed(folder, views, rounds=5, seed=number)
        same_as_undisturbed(folder, views)


@pytest.mark.promise
@pytest.mark.slow
def test_two_processes_on_one_folder_do_not_tread_on_each_other(tmp_path):
    processes = [start(tmp_path, 0) for _ in range(2)]
    for process in processes:
        said, errors = process.communicate(timeout=120)
        assert said == "done\n", errors[-2000:]
    same_as_undisturbed(tmp_path, 0)


def test_an_interrupt_keeps_what_was_computed(model, tmp_path, monkeypatch, counted):
    from kertl.features._engines import TensorFlowEngine

    run, calls = TensorFlowEngine.run, []

    def interrupted(self, batch):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return run(self, batch)

    monkeypatch.setattr(TensorFlowEngine, "run", interrupted)
    x = pictures(320)
    with pytest.raises(KeyboardInterrupt):
        kertl.extract(model, x, engine="keras", cache_dir=tmp_path)
    kertl.extract(model, x, engine="keras", cache_dir=tmp_path)
    assert counted[1] == list(range(128, 320))


def test_an_error_in_the_data_keeps_what_was_computed_before(model, tmp_path, counted):
    class Broken(keras.utils.PyDataset):
        broken = False

        def __len__(self):
            return 10

        def __getitem__(self, index):
            if self.broken and index == 7:
                raise OSError("the disk is gone")
            return pictures(32, seed=index)

    data = Broken()
    extract = lambda: kertl.extract(model, data, engine="keras", cache_dir=tmp_path)  # noqa: E731
    from kertl.features import _sources

    real = _sources._Stream.batches

    def batches(self, rows, size):
        data.broken = True
        yield from real(self, rows, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sources._Stream, "batches", batches)
        with pytest.raises(OSError, match="the disk is gone"):
            extract()
    data.broken = False
    extract()
    assert counted[1] == list(range(7 * 32, 320))

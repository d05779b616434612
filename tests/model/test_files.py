import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

import kertl
from kertl.errors import WeightsError
from kertl.model import ModelInfo, model_info, set_model_info
from tests.families import small_backbone, small_classifier
from tests.messages import assert_names

REPOSITORY = Path(__file__).parents[2]


def python(code, *arguments, cwd=REPOSITORY):
    """What a new Python process prints for `code`."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def images(side=32, count=2):
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype("float32")


@pytest.fixture
def model():
    return kertl.build(small_backbone(), class_names=["cat", "dog"])


def test_a_saved_model_loads_with_the_same_weights_predictions_and_notes(model, tmp_path):
    kertl.save(model, tmp_path / "m.keras")
    loaded = kertl.load(tmp_path / "m.keras")
    for found, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(loaded.predict(images(), verbose=0), model.predict(images(), verbose=0))
    assert model_info(loaded) == model_info(model)
    assert loaded.name == model.name
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]


def test_the_path_may_be_a_string(model, tmp_path):
    kertl.save(model, str(tmp_path / "m.keras"))
    assert kertl.load(str(tmp_path / "m.keras")).output_shape == (None, 2)


def test_the_member_kertl_json_holds_task_classes_backbone_and_version(model, tmp_path):
    kertl.save(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.testzip() is None
        noted = json.loads(archive.read("kertl.json"))
    assert noted == {
        "task": "single_label",
        "class_names": ["cat", "dog"],
        "backbone": "small",
        "kertl": kertl.__version__,
        "image_size": [32, 32],
        "channels": 3,
        "resize": None,
    }


def test_what_a_later_version_may_note_is_passed_over(model, tmp_path):
    kertl.save(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as source, zipfile.ZipFile(tmp_path / "n.keras", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "kertl.json":
                content = json.dumps({**json.loads(content), "novelty": 1}).encode()
            target.writestr(name, content)
    assert model_info(kertl.load(tmp_path / "n.keras")) == model_info(model)


def test_names_in_any_script_survive(tmp_path):
    names = ["Zürich", "猫", 'a"b\\c']
    kertl.save(kertl.build(small_backbone(), class_names=names), tmp_path / "m.keras")
    assert model_info(kertl.load(tmp_path / "m.keras")).class_names == tuple(names)


def test_a_model_from_elsewhere_is_saved_and_loaded_without_notes(tmp_path):
    model = small_classifier()
    kertl.save(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert "kertl.json" not in archive.namelist()
    assert model_info(kertl.load(tmp_path / "m.keras")) is None


@pytest.mark.promise
@pytest.mark.slow
def test_a_compiled_and_trained_model_is_saved_without_compile_state_and_stays_compiled(model, tmp_path):
    model.compile(keras.optimizers.Adam(kertl.schedules.OneCycle(0.1, 10)), "sparse_categorical_crossentropy")
    model.fit(images(), np.array([0, 1]), verbose=0)
    kertl.save(model, tmp_path / "m.keras")
    assert model.compiled
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = archive.read("config.json").decode()
        weights = archive.read("model.weights.h5")
    assert not json.loads(config)["compile_config"]
    assert "kertl" not in config
    assert b"optimizer" not in weights
    assert not kertl.load(tmp_path / "m.keras").compiled


def test_after_a_stage_the_saved_model_has_no_trace_of_the_stage(model, tmp_path):
    kertl.stage_model(model, "mid")
    kertl.save(model, tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert "kertl>" not in archive.read("config.json").decode()


@pytest.mark.slow
def test_models_of_every_preprocessing_load_where_kertl_cannot_be_imported(tmp_path):
    kinds = {"torch": "DenseNet121", "tf": "MobileNetV2", "caffe": "VGG16", "none": "MobileNetV3Small"}
    for kind, name in kinds.items():
        model = kertl.build(name, class_names=["a", "b"], weights=None, input_shape=(32, 32, 3))
        kertl.save(model, tmp_path / f"{kind}.keras")
        np.save(tmp_path / f"{kind}.npy", keras.ops.convert_to_numpy(model(images())))
    np.save(tmp_path / "images.npy", images())
    code = """
        import sys
        sys.modules["kertl"] = None
        import keras, numpy as np
        for kind in sys.argv[1:]:
            model = keras.saving.load_model(f"{kind}.keras")
            found = keras.ops.convert_to_numpy(model(np.load("images.npy")))
            np.testing.assert_allclose(found, np.load(f"{kind}.npy"), rtol=1e-6, atol=1e-7)
        print("done")
        """
    assert python(code, *kinds, cwd=tmp_path).splitlines()[-1] == "done"


@pytest.mark.promise
@pytest.mark.slow
def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    # The limit on the size of a file stands for the full disk.
    code = """
        import resource, signal, sys
        from pathlib import Path
        import kertl
        from tests.families import small_backbone

        path = Path(sys.argv[1]) / "m.keras"
        model = kertl.build(small_backbone(), class_names=["a", "b"])
        kertl.save(model, path)
        before = path.read_bytes()
        model.set_weights([weight + 1 for weight in model.get_weights()])
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for share in (0.0, 0.05, 0.3, 0.7, 0.95, 0.999):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * len(before)), resource.RLIM_INFINITY))
            try:
                kertl.save(model, path)
            except Exception as error:
                print("refused", type(error).__name__)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert path.read_bytes() == before, share
            assert [file.name for file in path.parent.iterdir()] == ["m.keras"], list(path.parent.iterdir())
        kertl.load(path)
        kertl.save(model, path)
        assert path.read_bytes() != before
        """
    pytest.importorskip("resource")
    assert python(code, tmp_path).count("refused") == 6


@pytest.mark.promise
@pytest.mark.slow
def test_a_process_killed_while_saving_leaves_the_old_file(tmp_path):
    code = """
        import os, signal, sys, zipfile
        from pathlib import Path
        import kertl
        from tests.families import small_backbone

        path = Path(sys.argv[1]) / "m.keras"
        model = kertl.build(small_backbone(), class_names=["a", "b"])
        kertl.save(model, path)
        before = path.read_bytes()
        model.set_weights([weight + 1 for weight in model.get_weights()])
        if os.fork() == 0:  # the child saves, without computing anything, and dies with the file half written
            zipfile.ZipFile.writestr = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
            kertl.save(model, path)
        _, status = os.wait()
        assert os.WIFSIGNALED(status), status
        assert path.read_bytes() == before
        print("old file whole")
        """
    if not hasattr(os, "fork"):
        pytest.skip("needs fork")
    assert "old file whole" in python(code, tmp_path)


@pytest.mark.parametrize("name", ["m.h5", "m", "m.keras.zip"])
def test_another_suffix_is_refused(model, tmp_path, name):
    with pytest.raises(ValueError, match="Received") as caught:
        kertl.save(model, tmp_path / name)
    assert_names(caught.value, "`path`", "'.keras'", f"path={str(tmp_path / name)!r}")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(WeightsError) as caught:
        kertl.load(tmp_path / "m.keras")
    assert_names(caught.value, "no model file", tmp_path / "m.keras")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_an_error(model, tmp_path, share):
    path = tmp_path / "m.keras"
    kertl.save(model, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(WeightsError, match=r"Keras cannot load the model in '.*m\.keras'"):
        kertl.load(path)


def test_a_flipped_bit_in_the_weights_or_notes_is_an_error(model, tmp_path):
    path = tmp_path / "m.keras"
    kertl.save(model, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            flipped = bytearray(content)
            flipped[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 1
            path.write_bytes(flipped)
            with pytest.raises(WeightsError, match=r"Keras cannot load the model in"):
                kertl.load(path)


def test_notes_that_are_not_kertls_are_an_error_of_the_file(model, tmp_path):
    kertl.save(model, tmp_path / "m.keras")
    for number, notes in enumerate(["[]", "{}", '{"task": "single_label", "class_names": 3}', "no json"]):
        path = tmp_path / f"{number}.keras"
        with zipfile.ZipFile(tmp_path / "m.keras") as source, zipfile.ZipFile(path, "w") as target:
            for name in source.namelist():
                target.writestr(name, notes if name == "kertl.json" else source.read(name))
        with pytest.raises(WeightsError):
            kertl.load(path)


def test_thresholds_are_kept_in_the_file_and_wrong_ones_refused(tmp_path):
    model = kertl.build(small_backbone(), class_names=["cat", "dog"], task="multi_label")
    info = model_info(model)
    set_model_info(model, ModelInfo(info.task, info.class_names, info.backbone, info.kertl, (0.25, 0.75)))
    kertl.save(model, tmp_path / "m.keras")
    assert model_info(kertl.load(tmp_path / "m.keras")).thresholds == (0.25, 0.75)
    values = model_info(model).to_json()
    for wrong in ([1.5], [float("nan")], ["0.5"], 0.5, [True]):
        with pytest.raises(ValueError, match="thresholds"):
            ModelInfo.from_json({**values, "class_names": ["cat", "dog"], "thresholds": wrong})


def renoted(path, other, change):
    """A copy of a model file whose notes were changed."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, json.dumps(change(json.loads(content))) if name == "kertl.json" else content)
    return other


def test_what_pictures_a_model_takes_is_kept_in_the_file(tmp_path):
    model = kertl.build(small_backbone(), num_classes=2, resize="pad")
    kertl.save(model, tmp_path / "m.keras")
    again = model_info(kertl.load(tmp_path / "m.keras"))
    assert again == model_info(model)
    assert (again.image_size, again.channels, again.resize) == ((32, 32), 3, "pad")
    for wrong in ({"image_size": [32]}, {"image_size": [0, 32]}, {"channels": "3"}, {"resize": "padded"}):
        other = renoted(tmp_path / "m.keras", tmp_path / "wrong.keras", lambda noted, wrong=wrong: {**noted, **wrong})
        with pytest.raises(WeightsError, match="image_size, channels and resize"):
            kertl.load(other)


def test_a_file_of_before_that_says_nothing_of_pictures_is_loaded(model, tmp_path):
    kertl.save(model, tmp_path / "m.keras")
    new = ("image_size", "channels", "resize")
    old = renoted(
        tmp_path / "m.keras",
        tmp_path / "old.keras",
        lambda noted: {name: value for name, value in noted.items() if name not in new},
    )
    info = model_info(kertl.load(old))
    assert (info.class_names, info.image_size, info.channels, info.resize) == (("cat", "dog"), (32, 32), 3, None)


def test_a_suffix_from_a_file_still_takes_no_pictures(model, tmp_path):
    _, suffix = kertl.split(model, "mid")
    kertl.save(suffix, tmp_path / "suffix.keras")
    info = model_info(kertl.load(tmp_path / "suffix.keras"))
    assert info == model_info(suffix)
    assert (info.task, info.image_size, info.channels) == ("single_label", None, None)


def test_a_saved_model_is_called_on_a_bare_array_without_a_warning(tmp_path):
    theirs = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2, activation="softmax")]
    )
    x = np.ones((2, 8, 8, 3), "float32")
    kertl.save(theirs, tmp_path / "m.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "m.keras")(x), theirs(x))


def test_a_run_that_has_not_finished_is_said_to(tmp_path, caplog):
    with pytest.raises(WeightsError, match=r"must be a run directory.*without a model\.keras"):
        kertl.load(tmp_path)
    (tmp_path / "recipe.json").touch()
    with pytest.raises(WeightsError, match=r"must have finished.*without a model\.keras yet.*resumes it"):
        kertl.load(tmp_path)
    kertl.save(kertl.build(small_backbone(), num_classes=2), tmp_path / "model.keras")
    kertl.load(tmp_path)
    assert "has not finished: its model has the best weights so far" in caplog.text

import json
import logging
import os
import shutil
import zipfile
from subprocess import CompletedProcess

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf2onnx

import kertl
from kertl.errors import DataError, ExportError, RunError, WeightsError
from kertl.exporting._formats import FORMATS
from kertl.exporting._graph import groups_as_depthwise, rolled_by_slices
from kertl.exporting._subject import stratified
from kertl.exporting._tfjs import _failure
from tests.exporting.colours import photo_files, solved
from tests.families import lively, tiny_backbone
from tests.marks import PROMISED, some_of
from tests.messages import assert_names
from tests.runs import NAMES

NAME = {"keras": "m.keras", "saved_model": "saved", "litert": "m.tflite", "onnx": "m.onnx", "openvino": "openvino"}


@pytest.fixture(scope="module")
def told():
    return solved()


def asked(format_, path, x):
    """What an export says, asked as its own documentation does, and the contract in it."""
    if format_ == "keras":
        return keras.saving.load_model(path).predict(x, verbose=0), None
    if format_ == "saved_model":
        said = tf.saved_model.load(path).signatures["serving_default"](tf.constant(x))
        return said["probabilities"].numpy(), (path / "kertl.json").read_text()
    if format_ == "litert":
        from ai_edge_litert.interpreter import Interpreter

        signature = Interpreter(str(path)).get_signature_runner()
        (given,) = signature.get_input_details().values()
        said = next(iter(signature(images=x.astype(given["dtype"])).values()))
        with zipfile.ZipFile(path) as attached:
            assert attached.read("labels.txt").decode().split() == NAMES
            return said, attached.read("kertl.json")
    if format_ == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        contract = session.get_modelmeta().custom_metadata_map["kertl"]
        return session.run(["probabilities"], {"images": x.astype("float32")})[0], contract
    import openvino

    model = openvino.Core().read_model(path / "model.xml")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    said = openvino.compile_model(model, "CPU", exact)({"images": x.astype("float32")})["probabilities"]
    return said, model.get_rt_info(["kertl"]).astype(str)


@pytest.mark.parametrize("format_", NAME)
def test_an_export_says_what_the_model_says_and_what_goes_in_and_out(told, tmp_path, format_):
    model, data = told
    path = tmp_path / NAME[format_]
    found = kertl.export(model, path, format=format_, data=data)
    assert (found.format, found.path, found.where, found.images) == (format_, path, "12 test images", 12)
    x = data.validation.in_order().batch(0, 0)[0][:5]  # another size of batch than it was checked with
    expected = model.predict(x, verbose=0)
    said, contract = asked(format_, path, x)
    np.testing.assert_allclose(said, expected, atol=1e-4)
    assert found.difference < 1e-4
    assert found.same == 1
    assert found.score == found.model_score == kertl.evaluate(model, data)["accuracy"]
    assert found.score == 1
    assert found.interval == pytest.approx((0.7575, 1), abs=1e-3)
    assert found.size_bytes == sum(one.stat().st_size for one in [path, *path.rglob("*")] if one.is_file())
    if contract is not None:
        told_in_it = json.loads(contract)
        name = "output_0" if format_ == "litert" else "probabilities"
        assert told_in_it["output"] == {"name": name, "labels": NAMES}
        assert told_in_it["input"]["shape"] == [None, 32, 32, 3]
        assert told_in_it["kertl"] == kertl.__version__
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([path.name, "model_card.md"])
    assert type(found).from_json(found.to_json()) == found


@pytest.mark.parametrize("task", some_of(["binary", "multi_label", "regression"], "binary"))
def test_every_task_is_exported_with_its_own_score(tmp_path, task):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (24, 32, 32, 3), dtype="uint8")
    y = {"binary": [0, 1] * 12, "multi_label": random.integers(0, 2, (24, 3)), "regression": random.normal(50, 9, 24)}
    names = {"binary": ["no", "yes"], "multi_label": NAMES, "regression": ["weight"]}[task]
    data = kertl.data.from_arrays(x, y[task], task=task, class_names=names, validation=0, test=0.5)
    options = {"target_scaling": data.target_scaling} if task == "regression" else {}
    model = lively(kertl.build(tiny_backbone(), class_names=names, task=task, **options), x.astype("float32"))
    if task == "binary":
        kertl.model.set_model_info(model, kertl.model.ModelInfo(task, tuple(names), "tiny", "1", (0.3,)))
    found = kertl.export(model, tmp_path / "m.onnx", format="onnx", data=data)
    metric = {"regression": "mae"}.get(task, "accuracy")
    assert found.metric == metric
    assert found.score == pytest.approx(kertl.evaluate(model, data)[metric], rel=1e-4)
    assert (found.same is None) == (task == "regression")
    assert found.change_interval[0] <= found.change <= found.change_interval[1]
    card = (tmp_path / "model_card.md").read_text()
    assert all(name in card for name in names)
    assert ("0.300" in card) == (task == "binary")


def test_a_model_from_elsewhere_has_numbers_for_labels(tmp_path, caplog):
    theirs = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    with caplog.at_level(logging.WARNING, "kertl"):
        found = kertl.export(theirs, tmp_path / "m.onnx", format="onnx")
    assert_names(caplog.text, "noise")
    _, contract = asked("onnx", tmp_path / "m.onnx", np.zeros((1, 8, 8, 3), "uint8"))
    assert json.loads(contract)["output"]["labels"] == ["0", "1"]
    assert json.loads(contract)["input"]["resize"] is None
    assert (found.where, found.score) == ("noise", None)


def test_quantised_exports_are_smaller_and_their_change_is_told(told, tmp_path):
    model, data = told
    sizes, dtypes = {}, {}
    for quantize in (None, "float16", "dynamic", "int8"):
        path = tmp_path / f"{quantize}.tflite"
        found = kertl.export(model, path, format="litert", quantize=quantize, data=data)
        sizes[quantize] = found.size_bytes
        x = data.test.in_order().batch(0, 0)[0]
        said, contract = asked("litert", path, x)
        dtypes[quantize] = json.loads(contract)["input"]["dtype"]
        expected = model.predict(x, verbose=0)
        assert np.abs(said - expected).max() < {None: 1e-5, "float16": 0.01}.get(quantize, 0.15)
        assert found.change == found.score - found.model_score
        assert "change" in found.table()
    assert sizes["float16"] < 0.75 * sizes[None]
    assert max(sizes["dynamic"], sizes["int8"]) < sizes["float16"]
    assert dtypes == {None: "float32", "float16": "float32", "dynamic": "float32", "int8": "uint8"}


def test_int8_computes_in_8_bits_between_its_ends(told, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    model, data = told
    kertl.export(model, tmp_path / "m.tflite", format="litert", quantize="int8", data=data)
    details = Interpreter(str(tmp_path / "m.tflite")).get_tensor_details()
    floats = [one["name"] for one in details if one["dtype"] is np.float32]
    assert len(floats) == 1, f"only the predictions, not {floats}"
    kernels = [one for one in details if len(one["shape"]) == 4 and one["quantization_parameters"]["scales"].size > 1]
    assert kernels, "weights have a scale per channel"


def test_the_images_for_quantisation_are_drawn_in_the_shares_of_their_classes():
    y = [0] * 150 + [1] * 48 + [2] * 2
    x = np.zeros((200, 2, 2, 3), "uint8")
    x[:, 0, 0, 0] = np.arange(200)
    data = kertl.data.from_arrays(x, y, validation=0, test=0).train
    rows = stratified(data, 40)
    counts = np.bincount(np.asarray(data.labels)[rows], minlength=3)
    assert abs(counts[0] - 30) <= 1
    assert abs(counts[1] - 10) <= 1
    assert counts[2] >= 1
    assert len(set(rows.tolist())) == len(rows)


@pytest.mark.parametrize("way", ["disagrees", "does not load", "is not written"])
def test_a_wrong_export_is_an_error_and_leaves_nothing(told, tmp_path, monkeypatch, way):
    model, data = told
    onnx = FORMATS["onnx"]
    write = type(onnx).write

    def wrong(self, given, path, *rest):
        if way == "is not written":
            raise NotImplementedError("no such layer")
        if way == "does not load":
            path.write_bytes(b"no model")
            return
        other = keras.models.clone_model(given)
        *before, kernel, bias = given.get_weights()
        other.set_weights([*before, np.roll(kernel, 1, axis=1), bias])
        write(self, other, path, *rest)

    monkeypatch.setattr(type(onnx), "write", wrong)
    kept = tmp_path / "kept.onnx"
    kept.write_bytes(b"\x08 from before")
    with pytest.raises(ExportError) as caught:
        kertl.export(model, kept, format="onnx", data=data)
    assert_names(caught.value, *{"disagrees": ["difference", "12"], "is not written": ["no such layer"]}.get(way, []))
    assert "othing was written" in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["kept.onnx"]
    assert kept.read_bytes() == b"\x08 from before"


def test_what_cannot_be_exported_is_refused_before_anything_is_built(told, tmp_path, monkeypatch):
    model = told[0]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    (tmp_path / "half").mkdir()
    others = [tmp_path / f"notes.{ending}" for ending in ("keras", "tflite", "onnx")]
    for one in others:
        one.write_text("keep")
    open_size = keras.Sequential([keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()])
    open_size.add(keras.layers.Dense(2, activation="softmax"))
    for given, path, options, error, parts in (
        (model, "m.onnx", {"format": "onx"}, ValueError, ["format", "'onx'", "'onnx'"]),
        (model, "m.pb", {"format": "onnx"}, ValueError, ["path", "'.onnx'"]),
        (model, "m.onnx", {"format": "openvino"}, ValueError, ["path", "folder"]),
        (model, "mine", {"format": "openvino"}, ValueError, ["path", "new"]),
        (model, "notes.keras", {}, ValueError, ["path", "new"]),
        (model, "notes.tflite", {"format": "litert"}, ValueError, ["path", "new"]),
        (model, "notes.onnx", {"format": "onnx"}, ValueError, ["path", "new"]),
        (model, "m.onnx", {"format": "onnx", "quantize": "int8"}, ValueError, ["quantize", "'int8'", "'litert'"]),
        (model, "m.tflite", {"format": "litert", "quantize": "int8"}, ValueError, ["quantize", "`data=`"]),
        (model, "m.keras", {"images": 0}, ValueError, ["images"]),
        (model, "m.keras", {"data": 3}, ValueError, ["data"]),
        (open_size, "m.onnx", {"format": "onnx"}, ValueError, ["model", "kertl.model.at_size"]),
        (tmp_path / "half", "m.keras", {}, RunError, ["model.keras", "half"]),
        (tmp_path / "none.keras", "m.keras", {}, WeightsError, ["none.keras"]),
        ("run", "m.keras", {}, WeightsError, ["run"]),
        (7, "m.keras", {}, ValueError, ["model_or_run", 7]),
    ):
        with pytest.raises(error) as caught:
            kertl.export(given, tmp_path / path, **options)
        assert_names(str(caught.value).replace("/", " ").replace("'", " ' "), *(str(p).strip("'") for p in parts))
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None)
    with pytest.raises(ExportError, match=r"onnx and tf2onnx and onnxruntime: pip install 'kertl\[onnx\]'"):
        kertl.export(model, tmp_path / "m.onnx", format="onnx")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["half", "mine", *(sorted(one.name for one in others))]
    assert {one.read_text() for one in others} == {"keep"}


def test_tensorflow_js_says_where_its_converter_comes_from(told, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KERTL_TFJS_CONVERTER", raising=False)
    with pytest.raises(ExportError, match=r"pip install tensorflowjs.*KERTL_TFJS_CONVERTER"):
        kertl.export(told[0], tmp_path / "tfjs", format="tfjs")


@pytest.mark.slow
def test_tensorflow_js_loads_what_its_converter_wrote(told, tmp_path):
    if obstacle := FORMATS["tfjs"].obstacle():
        pytest.skip(obstacle)
    model, data = told
    found = kertl.export(model, tmp_path / "tfjs", format="tfjs", data=data)
    assert found.difference < 1e-4
    assert found.images == 8
    assert json.loads((tmp_path / "tfjs" / "kertl.json").read_text())["output"]["labels"] == NAMES


def test_a_run_is_compared_on_its_own_test_images(finished, photos, tmp_path):
    by_run = kertl.export(finished, tmp_path / "a.keras")
    by_path = kertl.export(finished.run_dir, tmp_path / "b.keras", images=5)
    assert by_run.where == f"{finished.metrics['test']['images']} test images"
    assert by_run.score == pytest.approx(finished.metrics["test"]["accuracy"])
    assert by_path.where == "5 test images"
    in_folder = kertl.export(finished.run_dir, tmp_path / "c.keras", data=photos)
    assert in_folder.where == "36 train images"
    card = (tmp_path / "model_card.md").read_text()
    assert "| blue | 6 | 3 | 3 |" in card
    assert f"{finished.metrics['test']['accuracy']:.4f}" in card


def test_images_that_are_gone_or_changed_since_the_run_are_not_used_unnoticed(tmp_path, caplog):
    photos = photo_files(tmp_path / "photos", per_class=8)
    data = kertl.data.from_directory(photos, image_size=(32, 32), validation=0.25, test=0.25, batch_size=8)
    model, _ = solved()
    folder = tmp_path / "run"
    folder.mkdir()
    kertl.save(model, folder / "model.keras")
    data.write_csv(folder / "data.csv")
    form = {"task": "single_label", "image_size": [32, 32], "channels": 3, "resize": "stretch"}
    (folder / "data.json").write_text(json.dumps(form))
    (folder / "environment.json").write_text(json.dumps({"images": str(data.root)}))
    assert kertl.export(folder, tmp_path / "m.keras").where == "6 test images"
    changed = next(one.file for one in data.records if one.split == "test")
    content = (photos / changed).read_bytes()
    shutil.copy(photos / next(one.file for one in data.records if one.split == "train"), photos / changed)
    with pytest.raises(DataError, match="was changed"):
        kertl.export(folder, tmp_path / "m.keras")
    (photos / changed).unlink()
    with caplog.at_level(logging.WARNING, "kertl"):
        assert kertl.export(folder, tmp_path / "m.keras").where == "noise"
    assert_names(caplog.text, "noise", "1 of the run's 24 images")
    (photos / changed).write_bytes(content)
    (folder / "data.csv").write_text("file\nred/0.png\n")
    with pytest.raises(RunError) as caught:
        kertl.export(folder, tmp_path / "m.keras")
    assert_names(caught.value, "data.csv", "`data`")


def test_a_model_card_of_somebody_else_is_not_replaced(told, tmp_path):
    (tmp_path / "model_card.md").write_text("# Mine\n")
    with pytest.raises(ValueError, match=r"model_card\.md of another origin"):
        kertl.export(told[0], tmp_path / "m.keras")
    assert (tmp_path / "model_card.md").read_text() == "# Mine\n"
    assert not (tmp_path / "m.keras").exists()


def test_an_export_replaces_one_that_is_there(told, tmp_path):
    model, data = told
    (tmp_path / "o").mkdir()
    for name in ("kertl.json", "of_before"):
        (tmp_path / "o" / name).write_text("{}")
    kertl.export(model, tmp_path / "o", format="openvino", data=data)
    assert json.loads((tmp_path / "o" / "kertl.json").read_text())["task"] == "single_label"
    assert not (tmp_path / "o" / "of_before").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["model_card.md", "o"]


@pytest.mark.parametrize(
    ("format_", "name"),
    [pytest.param("onnx", "m.onnx", marks=PROMISED), pytest.param("openvino", "o", marks=pytest.mark.slow)],
)
def test_constants_of_efficientnet_are_no_inputs_and_fusions_no_outputs(tmp_path, format_, name):
    model = kertl.build("EfficientNetV2B0", class_names=NAMES, weights=None, input_shape=(64, 64, 3))
    x = np.random.default_rng(0).integers(0, 256, (16, 64, 64, 3), dtype="uint8")
    lively(model, x.astype("float32"))  # on other images a network with random weights amplifies rounding
    data = kertl.data.from_arrays(x, [*NAMES * 5, NAMES[0]], validation=0, test=0)
    assert kertl.export(model, tmp_path / name, format=format_, data=data).difference < 1e-4
    np.testing.assert_allclose(asked(format_, tmp_path / name, x)[0], model.predict(x, verbose=0), atol=1e-4)


def test_an_optimizer_of_tf2onnx_that_fails_is_passed_over(tmp_path, monkeypatch):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(inputs / 255.0)
    x = keras.layers.Conv2D(4, 3)(keras.ops.relu6(x + 3.0))  # a number alone, on which one fails
    outputs = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(x))
    model = kertl.model.describe(keras.Model(inputs, outputs), class_names=["a", "b"], preprocessing="none")
    convert, failed = tf2onnx.convert.from_graph_def, []

    def watched(*arguments, **options):
        try:
            return convert(*arguments, **options)
        except ValueError as error:
            failed.append(str(error))
            raise

    monkeypatch.setattr(tf2onnx.convert, "from_graph_def", watched)
    monkeypatch.setenv("TF2ONNX_CATCH_ERRORS", "as before")
    assert kertl.export(model, tmp_path / "m.onnx", format="onnx").difference < 1e-5
    assert failed == ["max() arg is an empty sequence"]
    assert os.environ["TF2ONNX_CATCH_ERRORS"] == "as before"


def gelu_groups_and_shifts(groups=4):
    """What some converters have no operation for, with BatchNorm adapted to pictures, and these as data."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, activation=keras.activations.gelu)(inputs / 127.5 - 1.0)
    x = keras.ops.gelu(x, approximate=False)
    x = keras.ops.roll(x, shift=(-2, 3), axis=(1, 2))  # as Swin shifts its windows, seen at the ends of the convolution
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(8, 3, groups=groups)(x))
    x = keras.layers.Activation("hard_silu")(x)  # which TensorFlow may fuse with the convolution
    outputs = keras.layers.Dense(3, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    pictures = np.random.default_rng(0).integers(0, 256, (16, 32, 32, 3), dtype="uint8")
    pictures[::2] //= 3
    model = lively(keras.Model(inputs, outputs), pictures.astype("float32"))
    model = kertl.model.describe(model, class_names=NAMES, preprocessing="none")
    return model, kertl.data.from_arrays(pictures, [*NAMES * 5, NAMES[0]], validation=0, test=0), pictures


@pytest.mark.parametrize("format_", ["onnx", "openvino", pytest.param("litert", marks=pytest.mark.slow)])
def test_exact_gelu_convolutions_in_groups_and_shifts_are_exported(tmp_path, format_):
    model, data, pictures = gelu_groups_and_shifts()
    path = tmp_path / NAME[format_]
    assert kertl.export(model, path, format=format_, data=data).difference < 1e-5
    np.testing.assert_allclose(asked(format_, path, pictures)[0], model.predict(pictures, verbose=0), atol=1e-5)


@pytest.mark.slow
def test_tensorflow_js_takes_exact_gelu_hard_swish_shifts_and_a_group_per_channel(tmp_path):
    if obstacle := FORMATS["tfjs"].obstacle():
        pytest.skip(obstacle)
    model, data, _ = gelu_groups_and_shifts(groups=8)
    assert kertl.export(model, tmp_path / "tfjs", format="tfjs", data=data).difference < 1e-5


@pytest.mark.parametrize("options", [{}, {"strides": 2, "padding": "same"}, {"dilation_rate": 2, "use_bias": False}])
def test_a_convolution_with_a_group_per_channel_is_a_depthwise_one_while_it_is_traced(options):
    layer = keras.layers.Conv2D(8, 3, groups=4, **options)
    model = keras.Sequential([keras.Input((9, 9, 4)), layer])
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 4)).astype("float32")
    before = model(x)
    with groups_as_depthwise(model):
        graph = tf.function(model, autograph=False).get_concrete_function(x).graph
        np.testing.assert_allclose(model(x), before, atol=1e-5)
    assert "DepthwiseConv2dNative" in {operation.type for operation in graph.get_operations()}
    np.testing.assert_array_equal(model(x), before)
    assert "convolution_op" not in vars(layer)


def test_a_slice_that_is_updated_is_a_choice_while_it_is_traced():
    def masked(x):
        return x * keras.ops.slice_update(keras.ops.zeros((2, 3)), [1, 0], keras.ops.ones((1, 2)))

    before = keras.ops.slice_update
    with rolled_by_slices():
        found = tf.function(masked, autograph=False).get_concrete_function(tf.TensorSpec((2, 3)))
    assert keras.ops.slice_update is before
    assert not [one.type for one in found.graph.get_operations() if "Xla" in one.type]
    np.testing.assert_array_equal(found(tf.fill((2, 3), 7.0)), [[0, 0, 0], [7, 7, 0]])


def test_groups_of_several_channels_are_refused_by_name():
    layers = [keras.Input((9, 9, 4)), keras.layers.Conv2D(8, 3, groups=2, name="wide"), keras.layers.Flatten()]
    told = pytest.raises(ExportError, match=r"no convolutions in groups of several channels: wide of this model")
    with told, groups_as_depthwise(keras.Sequential(layers)):
        pytest.fail("traced")


def test_operations_that_tensorflow_js_lacks_are_named_and_no_other_version_is_advised():
    told = "ValueError: Unsupported Ops in the model before optimization\nRoll, XlaDynamicUpdateSlice\n"
    assert_names(_failure(CompletedProcess([], 1, "", told)), "TensorFlow.js", "Roll, XlaDynamicUpdateSlice")
    assert "version" not in _failure(CompletedProcess([], 1, "", told))
    assert_names(_failure(CompletedProcess([], 1, "", "ImportError: no numpy")), "ImportError: no numpy", "version")

"""Model files that others made, on the command line: what they do not say about themselves is said by options."""

import csv
import importlib
import io
import json
import sys

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run
from kertl.cli._options import read_backbone
from tests.families import tiny_backbone
from tests.messages import assert_names
from tests.runs import unwrapped

SIDE = 16
NAMES = ["dark", "light"]


def brightness(activation="softmax", *, span=255.0, channels=3, size=SIDE):
    """A model that knows light pictures from dark ones, whose pixels go from 0 to `span`."""
    inputs = keras.Input((size, size, channels))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / span)(inputs))
    dense = keras.layers.Dense(2, activation=activation)
    model = keras.Model(inputs, dense(pooled), name="theirs")
    kernel = np.zeros((channels, 2), "float32")
    kernel[:, 1] = 12 / channels
    dense.set_weights([kernel, np.array([0, -6], "float32")])
    return model


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Light and dark pictures, a folder of each."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, least in (("dark", 0), ("light", 180)):
        (folder / name).mkdir()
        for number in range(4):
            pixels = random.integers(least, least + 60, (SIDE, SIDE, 3), dtype="uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def named(names=NAMES):
    return [word for name in names for word in ("--class-name", name)]


def printed(arguments, capsys):
    capsys.readouterr()
    status = run([*map(str, arguments)])
    out = capsys.readouterr()
    assert status == 0, out.err
    return out.out


def refused(arguments, capsys, *words):
    capsys.readouterr()
    assert run([*map(str, arguments)]) in (1, 2)  # 2 where one option is wrong
    assert_names(unwrapped(capsys.readouterr().err), *words)


def first_classes(arguments, capsys):
    rows = csv.DictReader(io.StringIO(printed([*arguments, "--csv"], capsys)))
    return [(row["class_1"], float(row["probability_1"])) for row in rows]


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".hdf5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_file_of_any_form_is_asked_and_evaluated_by_the_names_given(suffix, pictures, tmp_path, capsys):
    path = tmp_path / f"theirs{suffix}"
    brightness().save(path)
    asked = first_classes(["predict", path, pictures, *named()], capsys)
    assert [name for name, _ in asked] == ["dark"] * 4 + ["light"] * 4
    asked = first_classes(["predict", path, pictures, *named(["x", "y"])], capsys)
    assert {name for name, _ in asked} == {"x", "y"}
    swapped = json.loads(printed(["evaluate", path, pictures, "--json", *named(NAMES[::-1])], capsys))
    right = json.loads(printed(["evaluate", path, pictures, "--json", *named()], capsys))
    assert (right["accuracy"], swapped["accuracy"]) == (1.0, 0.0)


def test_names_that_the_model_knows_or_cannot_have_are_refused(pictures, tmp_path, capsys):
    brightness().save(tmp_path / "m.keras")
    command = ["predict", tmp_path / "m.keras", pictures]
    refused([*command, *named(["a"])], capsys, "`--class-name`", "2 different names", "['a']")
    refused([*command, *named(["a", "a"])], capsys, "`--class-name`", "2 different names")
    kertl.save(kertl.model.describe(brightness(), class_names=NAMES), tmp_path / "m.keras")
    refused([*command, *named(["a", "b"])], capsys, "`--class-name`", "left out", "['dark', 'light']")
    assert len(first_classes([*command, *named()], capsys)) == 8


@pytest.mark.parametrize("kind", ["unit", "tf"])
def test_pixels_are_preprocessed_as_the_model_expects(kind, pictures, tmp_path, capsys):
    model = brightness(span=1.0)
    if kind == "tf":
        inputs = keras.Input((SIDE, SIDE, 3))
        model = keras.Model(inputs, model(keras.layers.Rescaling(0.5, 0.5)(inputs)))
    model.save(tmp_path / "m.keras")
    command = ["predict", tmp_path / "m.keras", pictures, *named()]
    right = first_classes([*command, "--preprocessing", kind], capsys)
    assert [name for name, _ in right] == ["dark"] * 4 + ["light"] * 4
    assert {name for name, _ in first_classes(command, capsys)} == {"light"}
    found = json.loads(printed(["evaluate", *command[1:], "--json", "--preprocessing", kind], capsys))
    assert found["accuracy"] == 1.0
    files = [str(path) for path in sorted(pictures.rglob("*.png"))]
    expected = kertl.predict(model, files, preprocessing=kind)
    np.testing.assert_allclose(expected.max(axis=1), [share for _, share in right], atol=1e-5)
    assert kertl.evaluate(model, (np.full((2, SIDE, SIDE, 3), 255.0), [1, 1]), preprocessing=kind)["accuracy"] == 1.0
    refused([*command, "--preprocessing", "half"], capsys, "`--preprocessing`", "'unit'", "'half'")


def test_preprocessing_of_a_model_of_kertl_is_refused(pictures, tmp_path, capsys):
    kertl.save(kertl.model.describe(brightness(), class_names=NAMES), tmp_path / "m.keras")
    command = ["predict", tmp_path / "m.keras", pictures, "--preprocessing", "unit"]
    refused(command, capsys, "`--preprocessing`", "has it inside")


def test_logits_become_probabilities_where_the_task_is_told(pictures, tmp_path, capsys):
    brightness("linear").save(tmp_path / "logits.keras")
    brightness().save(tmp_path / "softmax.keras")
    command = ["predict", tmp_path / "logits.keras", pictures, *named()]
    refused(command, capsys, "task", "logits", "--task")
    asked = first_classes([*command, "--task", "single_label"], capsys)
    assert asked == first_classes(["predict", tmp_path / "softmax.keras", pictures, *named()], capsys)
    found = json.loads(printed(["evaluate", *command[1:], "--json", "--task", "single_label"], capsys))
    assert found["crossentropy"] < 0.1
    refused(["predict", tmp_path / "softmax.keras", pictures, "--task", "regression"], capsys, "`--task`", "softmax")
    values = json.loads(printed([*command, "--task", "regression", "--json"], capsys))
    assert values[-1]["targets"]["light"] > values[0]["targets"]["light"]


def test_two_sigmoids_are_labels_and_one_answers_a_question(pictures, tmp_path, capsys):
    brightness("sigmoid").save(tmp_path / "two.keras")
    answers = json.loads(printed(["predict", tmp_path / "two.keras", pictures, "--json", *named()], capsys))
    assert [[one["class"] for one in row["labels"]] for row in answers][-1] == ["light", "dark"]
    inputs = keras.Input((SIDE, SIDE, 3))
    one = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(inputs)))
    one.layers[-1].set_weights([np.full((3, 1), 0.1, "float32"), np.array([-36.0], "float32")])
    one.save(tmp_path / "one.keras")
    command = ["predict", tmp_path / "one.keras", pictures, "--json", "--task", "binary"]
    answers = json.loads(printed([*command, *named()], capsys))
    assert [row["label"] for row in answers] == ["dark"] * 4 + ["light"] * 4
    refused([*command, *named(["a", "b", "c"])], capsys, "`--class-name`", "2 different names")


@pytest.mark.parametrize("channels", [1, 4])
def test_the_channels_are_those_of_the_model(channels, pictures, tmp_path, capsys):
    brightness(channels=channels).save(tmp_path / "m.keras")
    command = ["predict", tmp_path / "m.keras", pictures, *named()]
    expected = ["dark"] * 4 + ["light"] * 4
    if channels == 1:
        assert [name for name, _ in first_classes(command, capsys)] == expected
    else:  # without transparency alpha is 255
        files = sorted(pictures.rglob("*.png"))
        x = np.stack([kertl.data.read_image(file, (SIDE, SIDE), channels=4) for file in files]).astype("float32")
        shares = keras.ops.convert_to_numpy(brightness(channels=4)(x)).max(axis=1)
        np.testing.assert_allclose([share for _, share in first_classes(command, capsys)], shares, atol=1e-5)
    assert json.loads(printed(["evaluate", *command[1:], "--json", "--channels", channels], capsys))["images"] == 8
    refused([*command, "--channels", "3"], capsys, "`--channels`", f"must be {channels}", "--channels=3")


def test_a_model_that_takes_any_size_is_told_one(pictures, tmp_path, capsys):
    brightness(size=None).save(tmp_path / "m.keras")
    command = ["predict", tmp_path / "m.keras", pictures, *named()]
    refused(command, capsys, "`--image-size`", "any size")
    assert len(first_classes([*command, "--image-size", "8"], capsys)) == 8
    brightness().save(tmp_path / "m.keras")
    refused([*command, "--image-size", "8"], capsys, "`--image-size`", f"({SIDE}, {SIDE})")


def test_how_images_became_square_is_told(tmp_path, capsys):
    wide = np.full((SIDE, 4 * SIDE, 3), 255, "uint8")
    Image.fromarray(wide).save(tmp_path / "wide.png")
    brightness().save(tmp_path / "m.keras")
    command = ["predict", tmp_path / "m.keras", tmp_path / "wide.png", *named()]
    shares = {resize: first_classes([*command, "--resize", resize], capsys) for resize in ("stretch", "pad")}
    assert shares["stretch"][0][0] == "light"
    assert shares["pad"][0][0] == "dark"  # three quarters are black


def test_a_backbone_is_read_in_the_channels_asked_for_or_its_own(tmp_path):
    tiny_backbone().save(tmp_path / "three.keras")
    inputs = keras.Input((32, 32, 1))
    convolution = keras.layers.Conv2D(4, 3, strides=2, name="first")
    keras.Model(inputs, convolution(keras.layers.Rescaling(1 / 255)(inputs))).save(tmp_path / "one.keras")

    def shape(name, *arguments, **options):
        return read_backbone(str(tmp_path / name), "imagenet", *arguments, **options).input_shape[1:]

    assert shape("three.keras", None, 0) == (32, 32, 3)
    assert shape("three.keras", None, 0, channels=1) == (32, 32, 1)
    assert shape("three.keras", 64, 0, channels=4) == (64, 64, 4)
    assert shape("one.keras", 64, 0) == (64, 64, 1)


def test_grey_images_are_cross_validated_and_drawn(pictures, tmp_path, capsys):
    tiny_backbone().save(tmp_path / "theirs.keras")
    options = ["--backbone", tmp_path / "theirs.keras", "--folds", "2", "--epochs", "1", "--test", "0"]
    found = printed(["cross-validate", pictures, *options, "--channels", "1"], capsys)
    assert "accuracy" in found
    drawn = ["augment-preview", pictures, "--out", tmp_path / "a.png", "--image-size", SIDE, "--channels", "1"]
    assert "a.png" in printed([*drawn, "--augment", "contrast"], capsys)
    refused([*drawn, "--augment", "hue"], capsys, "'hue'", "1 channels")


CUSTOM = """
import keras

class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x

@keras.saving.register_keras_serializable(package="own")
class Known(Twice):
    pass
"""


@pytest.mark.parametrize("name", ["Twice", "Known"])
def test_a_layer_of_ones_own_is_imported_from_the_current_directory(name, pictures, tmp_path, capsys, monkeypatch):
    module = f"own_{name.lower()}_layers"
    (tmp_path / f"{module}.py").write_text(CUSTOM)
    monkeypatch.syspath_prepend(tmp_path)
    own = getattr(importlib.import_module(module), name)
    inputs = keras.Input((SIDE, SIDE, 3))
    keras.Model(inputs, brightness(span=510.0)(own()(inputs))).save(tmp_path / "m.keras")
    monkeypatch.undo()
    monkeypatch.delitem(sys.modules, module)
    keras.saving.get_custom_objects().pop(f"own>{name}", None)
    monkeypatch.chdir(tmp_path)
    command = ["predict", "m.keras", pictures, *named()]
    refused(command, capsys, "m.keras", name)
    asked = first_classes([*command, "--custom", f"{module}:{name}"], capsys)
    assert [name for name, _ in asked] == ["dark"] * 4 + ["light"] * 4
    refused([*command, "--custom", name], capsys, "`--custom`", "layers:Attention")
    refused([*command, "--custom", f"{module}:Missing"], capsys, "`--custom`", "Missing")
    refused([*command, "--custom", "no_such_module:Twice"], capsys, "`--custom`", "no_such_module")


def test_the_help_says_whose_code_custom_runs(capsys):
    assert_names(unwrapped(printed(["predict", "--help"], capsys)), "--custom", "trust")


def test_two_outputs_are_one_clear_sentence(pictures, tmp_path, capsys):
    inputs = keras.Input((SIDE, SIDE, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    ends = [keras.layers.Dense(2, activation=name)(pooled) for name in ("softmax", "sigmoid")]
    keras.Model(inputs, ends, name="double").save(tmp_path / "m.keras")
    for command in ("predict", "evaluate"):
        words = ["one input and one output", "'double'", "2 outputs"]
        refused([command, tmp_path / "m.keras", pictures, "--task", "single_label"], capsys, *words)
        refused([command, tmp_path / "m.keras", pictures], capsys, *words)


def test_check_augmentation_takes_them_too(pictures, tmp_path, capsys):
    brightness("linear", span=1.0, channels=1).save(tmp_path / "m.keras")
    told = ["--task", "single_label", "--preprocessing", "unit", *named()]
    assert "flip" in printed(["check-augmentation", tmp_path / "m.keras", pictures, "--augment", "flip", *told], capsys)


def test_a_backbone_is_told_what_its_pixels_go_through(tmp_path):
    inputs = keras.Input((SIDE, SIDE, 3))
    features = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
    answers = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features))
    keras.Model(inputs, answers).save(tmp_path / "theirs.keras")
    with pytest.raises(ValueError, match="`preprocessing` must be given"):
        read_backbone(str(tmp_path / "theirs.keras"), "imagenet", None, 0)
    told = read_backbone(str(tmp_path / "theirs.keras"), "imagenet", None, 0, preprocessing="unit")
    assert any(isinstance(layer, keras.layers.Rescaling) for layer in told.layers)


def test_names_are_shown_whole_however_narrow_the_terminal(pictures, tmp_path, capsys, monkeypatch):
    brightness().save(tmp_path / "theirs.keras")
    names = [f"{'a long name of a kind of picture, ' * 3}{end}" for end in ("of dark", "of light")]
    monkeypatch.setenv("COLUMNS", "60")
    out = printed(["predict", tmp_path / "theirs.keras", pictures, *named(names)], capsys)
    assert all(name in out for name in names)

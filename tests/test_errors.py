"""Every message of kertl ends in a code, and every code is explained, used, and reached by its example."""

import ast
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import keras
import numpy
import pytest

import kertl
from kertl import errors
from kertl._codes import CODES
from kertl.cli import run
from kertl.errors import KertlError

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, KertlError)]
# Their examples are commands, or need what a test of this size cannot have.
ELSEWHERE = {
    "diverged",
    "memory",
    "run-differs",
    "run-unfinished",
    "search",
    "split",
    "weights-download",
    "weights-fit",
}
EXAMPLES = [name for name, code in CODES.items() if not code.example.startswith("kertl ") and name not in ELSEWHERE]


def codes_in_the_source():
    calls = (
        node
        for path in Path(kertl.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    )
    words = (word for call in calls for word in call.keywords if word.arg == "code")
    return {word.value.value for word in words if isinstance(word.value, ast.Constant)}


def test_each_code_is_explained_and_each_that_is_explained_is_given_somewhere():
    usual = {one.usual_code for one in CLASSES} | {"argument"}
    assert codes_in_the_source() | usual == set(CODES)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_message_ends_in_its_code_also_after_pickling(kind):
    error = kind("`a` must be 1. Received: a=2.")
    assert str(error) == f"`a` must be 1. Received: a=2. [{kind.usual_code}]"
    assert str(pickle.loads(pickle.dumps(kind("Wrong.", code="table")))) == "Wrong. [table]"


def test_the_code_of_a_quoted_error_moves_to_the_end():
    inner = errors.DataError("is empty (0 bytes)", code="image-file")
    assert str(errors.RunError(f"The image 'a.png' {inner}.")) == "The image 'a.png' is empty (0 bytes). [image-file]"
    assert str(errors.RunError(f"{inner}.", code="disk")) == "is empty (0 bytes). [disk]"
    assert str(errors.RunError("in folder [of mine]")) == "in folder [of mine] [run-directory]"


@pytest.fixture(scope="module")
def around(tmp_path_factory):
    """What the examples name."""
    folder = tmp_path_factory.mktemp("codes")
    (folder / "README.md").write_text("no model")
    (folder / "a-file.txt").write_text("no directory")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "labels.csv").write_text("file,label\na.png,cat\n")
    (folder / "empty").mkdir()
    for name in ("a", "b"):
        (folder / "broken" / name).mkdir(parents=True)
        (folder / "broken" / name / "1.jpg").write_bytes(b"no image")
    inputs = keras.Input((32, 32, 3))
    keras.Model(inputs, keras.layers.Lambda(lambda x: x)(inputs)).save(folder / "lambda.keras")
    images = numpy.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype="uint8")

    def data(names):
        labels = numpy.arange(12) % len(names)
        return kertl.data.from_arrays(images, labels, class_names=names, validation=0, test=0)

    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="first")(inputs)
    body = keras.Model(inputs, keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="second")(x))
    model, diverged = (
        kertl.build(kertl.load_backbone(one, preprocessing="unit"), class_names=["a", "b"])
        for one in (body, keras.models.clone_model(body))
    )
    diverged.layers[-1].kernel.assign(diverged.layers[-1].kernel * numpy.nan)
    numbers = kertl.data.from_arrays(images, numpy.arange(12.0), task="regression", validation=0, test=0)
    return folder, {
        "data": data(["a", "b"]),
        "data_of_numbers": numbers,
        "data_of_three_classes": data(["a", "b", "c"]),
        "images": images,
        "keras": keras,
        "kertl": kertl,
        "model": model,
        "model_of_classes": model,
        "model_of_two_classes": model,
        "model_that_diverged": diverged,
        "numpy": numpy,
    }


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_example_of_a_code_reaches_it(code, around, monkeypatch):
    folder, names = around
    monkeypatch.chdir(folder)
    with pytest.raises(KertlError) as caught:
        exec(CODES[code].example, dict(names))
    assert caught.value.code == code, caught.value


def test_explain_says_cause_example_and_way_out_and_lists_all(capsys):
    assert run(["explain", "[image-file]"]) == 0
    said = capsys.readouterr().out
    assert all(text in said for text in CODES["image-file"])
    assert run(["explain"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in CODES)
    assert run(["explain", "small-validation"]) == 0
    assert "Way out:" in capsys.readouterr().out
    assert run(["explain", "image-fiel"]) == 2
    assert "'image-file'" in capsys.readouterr().err


def test_the_command_line_says_how_to_ask_for_more(capsys, tmp_path):
    assert run(["evaluate", str(tmp_path), str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "kertl explain run-unfinished" in said or "kertl explain run-directory" in said


@pytest.mark.parametrize(
    "arguments", [["train", "photos", "--outt", "x"], ["trian"], ["predict"], ["explain", "a", "b"]]
)
def test_wrong_usage_ends_in_a_code_that_is_explained(arguments, capsys):
    assert run(arguments) == 2
    assert "[usage]" in " ".join(capsys.readouterr().err.split())
    assert run(["explain", "usage"]) == 0
    assert "kertl COMMAND --help" in capsys.readouterr().out


def test_explaining_imports_neither_keras_nor_tensorflow():
    code = (
        "import sys; from kertl.cli import run; run(['explain', 'table']);"
        "sys.exit(sum(name in sys.modules for name in ('keras', 'tensorflow', 'jax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0

"""What is of a wrong type is refused in the wording of the house, by every argument of what is used most."""

import importlib.util
import inspect

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.errors import KertlError
from tests.families import small_backbone

PICTURES = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
STAGE = kertl.Stage("deep", epochs=1, augment="none")
SPLIT = {"validation": 0.25, "test": 0.25}
# Each with arguments that are right, of which one after the other is replaced. "DATA" and the like are made below.
CALLS = {
    "build": (kertl.build, {"backbone": "BACKBONE", "class_names": ["a", "b"]}),
    "load_backbone": (kertl.load_backbone, {"source": "MobileNetV2", "weights": None, "input_shape": (32, 32, 3)}),
    "from_arrays": (kertl.data.from_arrays, {"x": PICTURES, "y": [0, 1] * 12, **SPLIT}),
    "from_directory": (kertl.data.from_directory, {"directory": "photos", "image_size": (32, 32), **SPLIT}),
    "from_csv": (kertl.data.from_csv, {"path": "labels.csv", "image_size": (32, 32), **SPLIT}),
    "check": (kertl.check, {"model": "MODEL", "data": "DATA", "recipe": STAGE}),
    "fine_tune": (kertl.fine_tune, {"model": "MODEL", "data": "DATA", "recipe": STAGE}),
    "predict": (kertl.predict, {"model": "MODEL", "data": "DATA", "views": 1}),
    "evaluate": (kertl.evaluate, {"model": "MODEL", "data": "DATA", "views": 1}),
    "answers": (kertl.answers, {"model": "MODEL", "predictions": np.full((2, 2), 0.5)}),
    "cross_validate": (kertl.cross_validate, {"model": "BACKBONE", "data": "DATA", "folds": 2, "recipe": STAGE}),
    "learning_curve": (kertl.learning_curve, {"model": "BACKBONE", "data": "DATA", "sizes": [4, 6, 8]}),
    "baselines": (kertl.baselines, {"model": "BACKBONE", "data": "DATA"}),
    "lr_range_test": (kertl.lr_range_test, {"model": "MODEL", "data": "DATA"}),
    "extract": (kertl.extract, {"model": "MODEL", "data": "TRAIN"}),
    "freeze": (kertl.freeze, {"model": "MODEL", "at": "deep"}),
    "split": (kertl.split, {"model": "BACKBONE", "at": "deep"}),
    "layer_groups": (kertl.layer_groups, {"model": "BACKBONE"}),
    "stage_model": (kertl.stage_model, {"model": "MODEL", "at": "deep"}),
    "extend_classes": (kertl.extend_classes, {"model": "MODEL", "names": ["c"]}),
    "save": (kertl.save, {"model": "MODEL", "path": "saved.keras"}),
    "load": (kertl.load, {"path": "model.keras"}),
    "diagnose": (kertl.diagnose, {"source": {"loss": [1.0, 0.5], "val_loss": [1.0, 0.6]}}),
    "interpret": (kertl.interpret, {"model": "MODEL", "data": "DATA"}),
    "tune_thresholds": (kertl.tune_thresholds, {"model": "MODEL", "data": "DATA"}),
    "calibrate": (kertl.calibrate, {"model": "MODEL", "data": "DATA"}),
    "discriminative": (
        kertl.optimizers.discriminative,
        {"optimizer": "adamw", "model": "MODEL", "peak": 1e-3, "layer_decay": 0.8},
    ),
    "shift": (kertl.shift, {"model": "MODEL", "a": "DATA", "b": "DATA"}),
    "Stage": (kertl.Stage, {"at": "deep"}),
    "Head": (kertl.Head, {}),
    "Recipe": (kertl.Recipe, {"stages": [STAGE]}),
}
# An array is compared element by element, and pandas' missing value with nothing.
WRONG = [object(), np.array([1.5, 2.5, 3.5])]
if importlib.util.find_spec("pandas"):
    WRONG.append(importlib.import_module("pandas").NA)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """What stands for the words in capitals, and a folder with the files that are named."""
    folder = tmp_path_factory.mktemp("wrong")
    rows = ["file,label"]
    for number, pixels in enumerate(PICTURES):
        name = f"photos/{'ab'[number % 2]}/{number}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
        rows.append(f"{name},{'ab'[number % 2]}")
    (folder / "labels.csv").write_text("\n".join(rows))
    data = kertl.data.from_arrays(PICTURES, np.array(["a", "b"])[np.arange(24) % 2], **SPLIT)
    backbone = small_backbone()
    model = kertl.build(backbone, class_names=["a", "b"])
    kertl.save(model, folder / "model.keras")
    return folder, {"DATA": data, "TRAIN": data.train, "BACKBONE": backbone, "MODEL": model}


@pytest.mark.parametrize("name", CALLS)
def test_an_argument_of_a_wrong_type_is_refused_in_the_wording_of_the_house(name, parts, monkeypatch):
    folder, made = parts
    monkeypatch.chdir(folder)
    function, right = CALLS[name]
    right = {key: made.get(value, value) if isinstance(value, str) else value for key, value in right.items()}
    named = [one for one in inspect.signature(function).parameters.values() if one.kind is not one.VAR_KEYWORD]
    assert right.keys() <= {one.name for one in named}
    for argument in named:
        for wrong in WRONG:
            said = refusal(function, {**right, argument.name: wrong})
            assert any(word in said for word in ("must be", "Received", "has no column")), (argument.name, wrong, said)


def refusal(function, arguments):
    """What the error says that kertl raises; anything else that is raised goes on."""
    try:
        function(**arguments)
    except KertlError as error:
        return str(error)
    return "nothing was refused"


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("fine_tune", "run_dir"),
        ("fine_tune", "cache_dir"),
        ("extract", "cache_dir"),
        ("baselines", "cache_dir"),
        ("save", "path"),
        ("from_directory", "directory"),
    ],
)
def test_an_empty_path_is_not_the_current_directory(name, argument, parts, monkeypatch, tmp_path):
    _, made = parts
    monkeypatch.chdir(tmp_path)
    function, right = CALLS[name]
    right = {key: made.get(value, value) if isinstance(value, str) else value for key, value in right.items()}
    assert f"`{argument}` must be a path. Received: {argument}=''." in refusal(function, {**right, argument: ""})
    assert not list(tmp_path.iterdir())


def test_the_report_of_a_run_is_asked_for_before_anything_is_trained():
    said = refusal(kertl.fine_tune, {"model": None, "data": None, "recipe": STAGE, "report": np.array([1, 2])})
    assert said.startswith("`report` must be True or False. Received")

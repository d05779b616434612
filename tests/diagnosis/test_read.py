import csv
import json
import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import kertl
from kertl.diagnosis._read import read
from kertl.errors import RunError
from tests.messages import assert_names

HISTORY = {
    "accuracy": [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0, 1.0],
    "loss": [1.2, 0.7, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02],
    "val_accuracy": [0.5011, 0.6037, 0.6513, 0.6529, 0.6097, 0.6041, 0.6003, 0.5987],
    "val_loss": [1.1, 0.8, 0.7, 0.8, 1.0, 1.2, 1.4, 1.5],
}


class _Replay(keras.callbacks.Callback):
    """Puts the history into the logs of a training, so that Keras' own callbacks write it."""

    def on_epoch_end(self, epoch, logs=None):
        logs.clear()
        logs.update({name: values[epoch] for name, values in HISTORY.items()})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A training with that history, as Keras' history, CSVLogger and TensorBoard have it."""
    folder = tmp_path_factory.mktemp("logs")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    callbacks = [
        _Replay(),
        keras.callbacks.CSVLogger(folder / "log.csv"),
        keras.callbacks.CSVLogger(folder / "semicolons.csv", separator=";"),
        keras.callbacks.TensorBoard(folder / "board", write_graph=False),
    ]
    history = model.fit(np.ones((4, 1)), np.zeros(4), epochs=8, callbacks=callbacks, verbose=0)
    return folder, history


@pytest.mark.parametrize("name", ["log.csv", "semicolons.csv", "board"])
def test_a_log_is_diagnosed_as_the_history_that_it_was_written_from(written, name):
    folder, _ = written
    expected = kertl.diagnose(HISTORY)
    assert expected.verdict == "overfitting"
    found = kertl.diagnose(folder / name)
    assert found.verdict == expected.verdict
    assert found.evidence == pytest.approx(expected.evidence, rel=1e-6)
    assert found.epochs == 8
    assert kertl.diagnose(str(folder / name)) == found


def test_what_fit_returns_knows_the_number_of_classes(written):
    _, history = written
    curves, known = read(history)
    assert (known.task, known.classes) == ("single_label", 3)
    assert curves.columns["val_loss"].tolist() == HISTORY["val_loss"]
    assert kertl.diagnose(history).verdict == kertl.diagnose(history.history).verdict == "overfitting"


@pytest.mark.parametrize(
    ("outputs", "loss", "task", "classes"),
    [
        (4, keras.losses.SparseCategoricalCrossentropy(), "single_label", 4),
        (1, "binary_crossentropy", "binary", 2),
        (3, keras.losses.BinaryCrossentropy(), "multi_label", None),
        (2, "mse", "regression", None),
        (2, keras.losses.MeanAbsoluteError(), "regression", None),
        (2, "kl_divergence", None, None),
    ],
)
def test_the_loss_of_a_fitted_model_tells_its_task(outputs, loss, task, classes):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(outputs)])
    model.compile("sgd", loss)
    _, known = read(SimpleNamespace(history=HISTORY, model=model))
    assert (known.task, known.classes) == (task, classes)


@pytest.mark.parametrize(
    ("epochs", "judged"),
    [
        ([0, 1, 2, 0, 1], [3, 4]),
        ([0, 1, 2, 3, 2, 3, 4], [0, 1, 4, 5, 6]),
        ([2, 0, 1], [1, 2, 0]),
        ([0, 2, 1, 1, 0], [4]),
        ([0, 1, 2], [0, 1, 2]),
    ],
    ids=["appended", "resumed", "out of order", "both", "plain"],
)
def test_of_a_log_with_several_trainings_the_last_is_judged_in_order(epochs, judged, tmp_path):
    lines = [f"{epoch},{1 + row},{2 + row}" for row, epoch in enumerate(epochs)]
    (tmp_path / "log.csv").write_text("\n".join(["epoch,loss,val_loss", *lines]))
    curves, known = read(tmp_path / "log.csv")
    assert curves.columns["loss"].tolist() == [1 + row for row in judged]
    assert known.rows_left_out == len(epochs) - len(judged)
    told = [one for one in kertl.diagnose(tmp_path / "log.csv").unknown if "trained again later" in one]
    assert len(told) == bool(known.rows_left_out)


def test_a_log_that_keras_appended_a_second_training_to_is_judged_by_the_second(written, tmp_path):
    folder, _ = written
    text = (folder / "log.csv").read_text()
    lost = text.splitlines()[1:4]
    (tmp_path / "log.csv").write_text("\n".join([*text.splitlines()[:1], *lost, *text.splitlines()[1:]]) + "\n")
    assert kertl.diagnose(tmp_path / "log.csv").findings == kertl.diagnose(folder / "log.csv").findings
    assert "3 rows whose epochs were trained again later" in kertl.diagnose(tmp_path / "log.csv").table()


def test_the_epochs_of_a_run_begin_anew_with_each_stage(tmp_path):
    lines = ["stage,at,epoch,loss", "0,deep,1,3", "0,deep,2,2", "1,mid,1,1"]
    (tmp_path / "history.csv").write_text("\n".join(lines))
    assert read(tmp_path)[0].columns["loss"].tolist() == [3, 2, 1]


def test_one_event_file_is_enough_to_look_at_the_training_alone(written):
    folder, _ = written
    (file,) = (folder / "board" / "train").iterdir()
    assert kertl.diagnose(file).verdict == "no_validation"


def test_event_files_are_read_without_tensorflow_and_keras(written):
    folder, _ = written
    code = (
        f"import sys, kertl; print(kertl.diagnose({str(folder / 'board')!r}).verdict, "
        "[name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["overfitting", "[]"]


def test_an_event_file_that_is_still_written_is_read_up_to_there_and_a_damaged_one_is_an_error(written, tmp_path):
    folder, _ = written
    (file,) = (folder / "board" / "train").iterdir()
    content = file.read_bytes()
    cut = tmp_path / file.name
    cut.write_bytes(content[:-10])
    assert len(read(cut)[0]) in (7, 8)
    cut.write_bytes(content[:-30] + bytes([content[-30] ^ 1]) + content[-29:])
    with pytest.raises(ValueError, match="sound event file"):
        kertl.diagnose(cut)


def test_foreign_event_files_are_refused_with_what_they_hold(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(tmp_path))
    writer.add_event(Event(step=1, summary=Summary(value=[Summary.Value(tag="Loss/train", simple_value=0.5)])))
    writer.close()
    with pytest.raises(ValueError, match="epoch_loss") as caught:
        kertl.diagnose(tmp_path)
    assert_names(caught.value, "Loss/train", "val_loss", tmp_path)


def test_norms_of_gradients_at_any_steps_show_that_they_vanish(tmp_path):
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    def write(step, **values):
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        writer.add_event(Event(step=step, summary=Summary(value=scalars)))

    writer = EventFileWriter(str(tmp_path / "train"))
    for step in range(0, 500, 50):
        write(step, **{"gradient_norm/stem": 1e-8, "gradient_norm/block": 1e-4, "gradient_norm/head": 0.1})
    for epoch in range(6):
        write(epoch, epoch_loss=0.69, epoch_accuracy=0.5)
    writer.close()
    curves, _ = read(tmp_path)
    assert list(curves.gradient_norms) == ["stem", "block", "head"]
    assert curves.gradient_norms["stem"] == pytest.approx([1e-8] * 6)
    found = kertl.diagnose(tmp_path, task="single_label", classes=2)
    assert found.verdict == "vanishing_gradients"
    assert "at stem" in found.sentence


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["empty"]),
        ("epoch,loss,val_loss\n", ["header"]),
        ("epoch,loss,val_loss\n0,1.0,1.1\n1,0.5\n", ["row 3", "2 of 3"]),
        ("epoch,loss\n0,high\n", ["'loss'", "'high'"]),
        ("time,value\n0,1\n", ["'loss'", "'time'"]),
    ],
    ids=["empty", "a header alone", "half a row", "words", "another table"],
)
def test_a_log_that_cannot_be_judged_says_why(tmp_path, text, parts):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(ValueError, match="`source` must be") as caught:
        kertl.diagnose(tmp_path / "log.csv")
    for part in parts:
        assert part in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK\x03\x04\x9c\xff")
    with pytest.raises(ValueError, match=r"`source` must be a log of epochs, as text.*model\.keras.*run directory"):
        kertl.diagnose(tmp_path / "model.keras")


def test_a_log_with_na_has_epochs_that_were_not_validated(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,loss,val_loss\n0,1.0,NA\n1,0.9,NA\n2,0.8,NA\n")
    assert kertl.diagnose(tmp_path / "log.csv").verdict == "no_validation"


def test_a_data_frame_is_diagnosed_as_its_columns():
    frame = pytest.importorskip("pandas").DataFrame(HISTORY)
    assert kertl.diagnose(frame) == kertl.diagnose(HISTORY)
    with pytest.raises(ValueError, match="a history with the column 'loss'"):
        kertl.diagnose(frame[["val_loss"]])


@pytest.mark.parametrize("source", [None, 3, ["loss"], "no/such/folder"])
def test_what_is_no_training_is_refused(source):
    with pytest.raises(ValueError, match=r"`source` must be a .*folder of TensorBoard"):
        kertl.diagnose(source)


def test_columns_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="as many values"):
        kertl.diagnose({"loss": [1, 2], "val_loss": [1]})
    with pytest.raises(ValueError, match="at least one epoch"):
        kertl.diagnose({"loss": []})


def write_run(folder, rows=8):
    """The files of a run that are read."""
    recipe = kertl.Recipe(stages=[kertl.Stage("mid", epochs=8)])
    (folder / "recipe.json").write_text(recipe.to_json())
    (folder / "data.json").write_text(json.dumps({"task": "single_label"}))
    if rows:
        with (folder / "history.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["stage", "at", "epoch", *HISTORY])
            writer.writerows([0, "mid", row + 1, *(values[row] for values in HISTORY.values())] for row in range(rows))
    return recipe


def test_a_run_directory_tells_its_recipe_task_and_metrics(tmp_path):
    recipe = write_run(tmp_path)
    classes = {name: {"recall": 0.5, "images": 50} for name in "abcd"}
    metrics = {"images": 200, "accuracy": 0.6, "majority": 0.25, "classes": classes}
    (tmp_path / "metrics.json").write_text(json.dumps({"validation": metrics, "best_stage": 0}))
    _, known = read(tmp_path)
    assert (known.recipe, known.task, known.classes, known.validation_images) == (recipe, "single_label", 4, 200)
    found = kertl.diagnose(tmp_path)
    assert found.verdict == "overfitting"
    assert "'mid', epochs=3" in found.next
    run = SimpleNamespace(rows=[], recipe=recipe, metrics={"validation": metrics})
    assert read(SimpleNamespace(**{**vars(run), "rows": [{"loss": 1.0}]}))[1] == known


def test_a_run_that_has_not_ended_is_judged_by_its_epochs_so_far(tmp_path):
    write_run(tmp_path, rows=5)
    assert kertl.diagnose(tmp_path).epochs == 5


def test_a_run_without_an_epoch_and_a_damaged_one_say_so(tmp_path):
    write_run(tmp_path, rows=0)
    with pytest.raises(ValueError, match="an epoch has ended") as caught:
        kertl.diagnose(tmp_path)
    assert_names(caught.value, tmp_path, "history.csv")
    write_run(tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(RunError, match="files of a run"):
        kertl.diagnose(tmp_path)


def test_an_empty_folder_says_what_is_missing(tmp_path):
    with pytest.raises(ValueError, match=r"no history\.csv and no event files"):
        kertl.diagnose(tmp_path)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"task": "segmentation"}, "`task`"),
        ({"classes": 1}, "`classes`"),
        ({"validation_images": 0}, "`validation_images`"),
        ({"majority": 0}, "`majority`"),
        ({"learning_curve": 3}, "`learning_curve`"),
    ],
)
def test_a_wrong_argument_is_named(options, named):
    with pytest.raises(ValueError, match=named):
        kertl.diagnose(HISTORY, **options)

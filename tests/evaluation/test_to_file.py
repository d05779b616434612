import csv

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run
from kertl.errors import DataError, RunError
from kertl.evaluation import _to_file, predict_to_file
from tests.families import tiny_backbone
from tests.runs import NAMES

COUNT, BROKEN = 23, ("04.png", "11.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 24, 3), dtype="uint8")
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / BROKEN[0]).write_bytes(b"")
    (folder / BROKEN[1]).write_bytes((folder / "12.png").read_bytes()[:60])
    return folder


@pytest.fixture(scope="module")
def model():
    return kertl.build(tiny_backbone(), class_names=NAMES)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(_to_file, "_CHUNK", 5)


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_file_has_a_row_with_what_predict_says_or_the_reason(folder, model, tmp_path):
    assert predict_to_file(model, [folder], tmp_path / "p.csv", top=2) == COUNT
    found = {row["file"].rsplit("/", 1)[1]: row for row in rows(tmp_path / "p.csv")}
    assert sorted(found) == [f"{number:02}.png" for number in range(COUNT)]
    good = [name for name in sorted(found) if name not in BROKEN]
    said = kertl.predict(model, [folder / name for name in good])
    for name, row in zip(good, said, strict=True):
        assert found[name]["class_1"] == NAMES[row.argmax()]
        assert float(found[name]["probability_1"]) == pytest.approx(row.max(), abs=1e-5)
        assert found[name]["error"] == ""
        assert "class_3" not in found[name]
    assert "empty" in found[BROKEN[0]]["error"]
    assert "truncated" in found[BROKEN[1]]["error"]
    assert found[BROKEN[0]]["class_1"] == ""
    assert not (tmp_path / "p.csv.parts").exists()


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_call_that_was_killed_goes_on_without_a_doubled_or_lost_row(folder, model, tmp_path, monkeypatch, after):
    predict_to_file(model, [folder], tmp_path / "whole.csv")
    written, write = [], _to_file.write_text

    def dying(path, text):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(path)
        write(path, text)

    monkeypatch.setattr(_to_file, "write_text", dying)
    if after < 5:
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, [folder], tmp_path / "p.csv")
        assert not (tmp_path / "p.csv").exists()
    monkeypatch.setattr(_to_file, "write_text", lambda path, text: (written.append(path), write(path, text)))
    predict_to_file(model, [folder], tmp_path / "p.csv")
    assert len(written) == len(set(written)) == 5
    assert (tmp_path / "p.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_parts_of_another_model_or_other_options_are_refused(folder, model, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_to_file, "_join", killed)
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(model, [folder], tmp_path / "p.csv")
    with pytest.raises(RunError, match="differ in top"):
        predict_to_file(model, [folder], tmp_path / "p.csv", top=1)
    keras.utils.set_random_seed(7)
    other = kertl.build(tiny_backbone(), class_names=NAMES)
    with pytest.raises(RunError, match="differ in model"):
        predict_to_file(other, [folder], tmp_path / "p.csv")


def test_shares_are_all_files_once(folder, model, tmp_path, capsys):
    kertl.save(model, tmp_path / "m.keras")
    found = []
    for number in (1, 2, 3):
        out = tmp_path / f"{number}.csv"
        assert (
            run(["predict", str(tmp_path / "m.keras"), str(folder), "--out", str(out), "--shard", f"{number}/3"]) == 0
        )
        found += [row["file"] for row in rows(out)]
    assert sorted(found) == sorted(str(path) for path in folder.iterdir())
    assert "rows." in capsys.readouterr().out


@pytest.mark.parametrize("task", ["binary", "multi_label", "regression"])
def test_every_task_has_its_columns(folder, task, tmp_path):
    names = ["no", "yes"] if task == "binary" else ["a", "b"]
    model = kertl.build(tiny_backbone(), class_names=names, task=task)
    predict_to_file(model, [folder / "00.png", folder / "04.png"], tmp_path / "p.csv")
    one, two = rows(tmp_path / "p.csv")
    expected = {"binary": {"label", "positive", "probability"}, "multi_label": {"labels", "probabilities"}}
    assert one.keys() == {"file", "error", *expected.get(task, {"a", "b"})}
    assert two["error"]


def test_parquet_has_numbers(folder, model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    predict_to_file(model, [folder], tmp_path / "p.parquet", top=1)
    table = parquet.read_table(tmp_path / "p.parquet")
    assert table.num_rows == COUNT
    assert str(table.schema.field("probability_1").type) == "double"
    assert table["probability_1"].null_count == len(BROKEN)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"out": "p.txt"}, ValueError, r"`out` must be a file that ends in \.csv or \.parquet"),
        ({"shard": (4, 3)}, ValueError, "`shard` must be"),
        ({"top": 0}, ValueError, "`top` must be"),
        ({"paths": []}, DataError, "There must be a file to predict on"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_read(folder, model, tmp_path, change, error, message):
    arguments = {"paths": [folder], "out": "p.csv", **change}
    with pytest.raises(error, match=message):
        predict_to_file(model, arguments.pop("paths"), tmp_path / arguments.pop("out"), **arguments)
    assert list(tmp_path.iterdir()) == []

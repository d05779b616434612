import csv
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import _ask, run
from kertl.errors import DataError, RunError
from kertl.evaluation import Caution, _made, _to_file, join_predictions, predict_to_file
from kertl.evaluation._made import note_of
from tests.families import tiny_backbone
from tests.messages import assert_names
from tests.runs import NAMES, unwrapped

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


def test_parts_of_nobody_knows_what_are_not_taken(folder, model, tmp_path):
    predict_to_file(model, [folder], tmp_path / "whole.csv")
    parts = tmp_path / "p.csv.parts"
    parts.mkdir()
    (parts / "000001.csv").write_text((tmp_path / "whole.csv").read_text().replace("0.", "0.9"))
    predict_to_file(model, [folder], tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_a_file_that_changed_after_a_kill_is_not_passed_over(folder, model, tmp_path, monkeypatch):
    images = tmp_path / "images"
    shutil.copytree(folder, images)
    with monkeypatch.context() as patched:
        patched.setattr(_to_file, "_join", _killed)
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(model, [images], tmp_path / "p.csv")
    shutil.copy(images / "03.png", images / "04.png")
    with pytest.raises(RunError, match="differ in files"):
        predict_to_file(model, [images], tmp_path / "p.csv")


def _killed(*_):
    raise KeyboardInterrupt


class Killed(BaseException):
    """Ends a call as a kill does: nothing catches it."""


@pytest.mark.parametrize("suffix", _to_file.SUFFIXES)
@pytest.mark.parametrize(
    ("place", "name"), [(_made, "write_json"), (Path, "replace"), (Path, "rename"), (_to_file.shutil, "rmtree")]
)
@pytest.mark.parametrize("done", [False, True])
def test_a_kill_around_the_last_rename_loses_nothing(folder, model, tmp_path, monkeypatch, place, name, done, suffix):
    out = tmp_path / f"p{suffix}"

    def dying(*arguments, **options):
        if name == "replace" and Path(arguments[1]) != out:
            return original(*arguments)
        if done:
            original(*arguments, **options)
        raise Killed

    with monkeypatch.context() as patched:
        original = getattr(place, name)
        patched.setattr(place, name, dying)
        with pytest.raises(Killed):
            predict_to_file(model, [folder], out)
    monkeypatch.setattr(_to_file, "images_for", lambda *_, **__: pytest.fail("predicts again"))
    if out.exists() or (tmp_path / f"{out.name}.parts").exists():
        with pytest.raises(RunError, match="in top"):
            predict_to_file(model, [folder], out, top=1)
    assert predict_to_file(model, [folder], out) == COUNT
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == {
        out.name,
        f"{out.name}.made.json",
    }


@pytest.mark.parametrize("suffix", _to_file.SUFFIXES)
def test_a_finished_file_is_left_as_it_is_and_no_other_call_writes_over_it(
    folder, model, tmp_path, monkeypatch, suffix
):
    out = tmp_path / f"p{suffix}"
    predict_to_file(model, [folder], out)
    before = out.read_bytes(), out.stat().st_mtime_ns
    monkeypatch.setattr(_to_file, "asked", lambda *_, **__: pytest.fail("predicts"))
    assert predict_to_file(model, [folder], out, batch_size=4) == COUNT
    keras.utils.set_random_seed(7)
    other = kertl.build(tiny_backbone(), class_names=NAMES)
    described = kertl.build(tiny_backbone(), class_names=["x", *NAMES[1:]])
    described.set_weights(model.get_weights())
    one = sorted(folder.iterdir())[:1]
    for call, differs in (
        ((model, [folder], {"top": 1}), "top"),
        ((model, [folder], {"views": 2, "seed": 1}), "seed, views"),
        ((model, one, {}), "count, files"),
        ((model, [folder], {"shard": (1, 2)}), "count, files, shard"),
        ((model, [folder], {"caution": Caution(tuple(NAMES), least=0.5)}), "abstain"),
        ((other, [folder], {}), "model"),
        ((described, [folder], {}), "description"),
    ):
        with pytest.raises(
            RunError, match=rf"Received: out=.*, which differs in {differs}\. Remove it, or choose another"
        ):
            predict_to_file(call[0], call[1], out, **call[2])
    assert (out.read_bytes(), out.stat().st_mtime_ns) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [out.name, f"{out.name}.made.json"]
    with out.open("ab") as file:
        file.write(b"\n")
    with pytest.raises(RunError, match="which has changed since"):
        predict_to_file(model, [folder], out)
    note_of(out).unlink()
    with pytest.raises(RunError, match="without the note that says what made it"):
        predict_to_file(model, [folder], out)


def test_the_command_says_that_a_file_is_finished_or_what_differs(folder, model, tmp_path, capsys, monkeypatch):
    kertl.save(model, tmp_path / "m.keras")
    command = ["predict", str(tmp_path / "m.keras"), str(folder), "--out", str(tmp_path / "p.csv")]
    assert run(command) == 0
    capsys.readouterr()
    monkeypatch.setattr(_to_file, "asked", lambda *_, **__: pytest.fail("predicts"))
    assert run(command) == 0
    said = capsys.readouterr()
    assert "is finished" in unwrapped(said.err)
    assert f"p.csv has {COUNT} rows." in said.out
    monkeypatch.setattr(_ask, "caution_of", lambda *_: pytest.fail("predicts on the validation images"))
    assert run([*command, "--top", "1", "--coverage", "0.9"]) == 1
    assert_names(unwrapped(capsys.readouterr().err), "`--out`", "differs in coverage, top", "choose another file")


def test_a_file_is_written_by_one_process_at_a_time(folder, model, tmp_path, monkeypatch):
    join = _to_file._join

    def meanwhile(*arguments):
        with pytest.raises(RunError, match="one process at a time"):
            predict_to_file(model, [folder], tmp_path / "p.csv")
        join(*arguments)

    monkeypatch.setattr(_to_file, "_join", meanwhile)
    assert predict_to_file(model, [folder], tmp_path / "p.csv") == COUNT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.csv.made.json"]


@pytest.mark.parametrize("out", ["gs://bucket/p.csv", Path("file:///p.csv")])
def test_an_address_to_write_to_is_refused(folder, model, out):
    with pytest.raises(ValueError, match="`out` must be a file"):
        predict_to_file(model, [folder], out)


def test_shares_are_all_files_once_and_join(folder, model, tmp_path, capsys):
    kertl.save(model, tmp_path / "m.keras")
    found, shares = [], [str(tmp_path / f"{number}.csv") for number in (1, 2, 3)]
    for number in (1, 2, 3):
        out = tmp_path / f"{number}.csv"
        assert (
            run(["predict", str(tmp_path / "m.keras"), str(folder), "--out", str(out), "--shard", f"{number}/3"]) == 0
        )
        found += [row["file"] for row in rows(out)]
    assert sorted(found) == sorted(str(path) for path in folder.iterdir())
    assert "rows." in capsys.readouterr().out
    assert run(["predict", "--join", *shares, "--out", str(tmp_path / "all.csv")]) == 0
    assert f"{COUNT} rows" in capsys.readouterr().out
    predict_to_file(model, [folder], tmp_path / "whole.csv")
    joined, whole = ({row["file"]: row for row in rows(tmp_path / name)} for name in ("all.csv", "whole.csv"))
    assert run(["predict", "--join", *shares, "--out", str(tmp_path / "all.csv")]) == 0
    assert "is finished" in unwrapped(capsys.readouterr().err)
    assert run(["predict", "--join", *shares[::-1], "--out", str(tmp_path / "all.csv")]) == 1
    assert_names(unwrapped(capsys.readouterr().err), "`--out`", "differs in files, joined")
    assert joined.keys() == whole.keys()
    assert all(joined[file]["error"] == row["error"] for file, row in whole.items())
    for file, row in whole.items():  # other batches, so other rounding
        assert float(joined[file]["probability_1"] or 0) == pytest.approx(float(row["probability_1"] or 0), abs=1e-5)


@pytest.fixture(scope="module")
def shares(folder, model, tmp_path_factory):
    place = tmp_path_factory.mktemp("shares")
    for number in (1, 2, 3):
        predict_to_file(model, [folder], place / f"{number}.csv", shard=(number, 3))
    return place


@pytest.mark.parametrize(
    ("chosen", "spoil", "message"),
    [
        ((1, 3), None, r"have all 23 images of the job\. Received: .* not given: 2/3"),
        ((1, 2, 3, 3), None, "each share once"),
        (
            (1, 2, 3),
            lambda path: path.write_text(path.read_text() + path.read_text().split("\n")[1] + "\n"),
            "a second time",
        ),
        ((1, 2, 3), lambda path: path.write_text(path.read_text().rsplit("\n", 2)[0] + "\n"), "have the rows noted"),
        ((1, 2, 3), lambda path: note_of(path).unlink(), "with their notes"),
        (
            (1, 2, 3),
            lambda path: note_of(path).write_text(note_of(path).read_text().replace('"top": 3', '"top": 2')),
            "one job",
        ),
    ],
)
def test_gaps_and_doubles_are_refused(shares, tmp_path, chosen, spoil, message):
    for file in shares.iterdir():
        shutil.copy(file, tmp_path)
    if spoil is not None:
        spoil(tmp_path / "2.csv")
    with pytest.raises(RunError, match=message):
        join_predictions([tmp_path / f"{number}.csv" for number in chosen], tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()


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
    shares = [tmp_path / f"{number}.parquet" for number in (1, 2)]
    for number, share in enumerate(shares, start=1):
        predict_to_file(model, [folder], share, top=1, shard=(number, 2))
    assert join_predictions(shares, tmp_path / "all.parquet") == COUNT
    joined = parquet.read_table(tmp_path / "all.parquet")
    assert joined.schema == table.schema
    assert joined.sort_by("file")["file"] == table.sort_by("file")["file"]


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


def test_a_single_folder_is_a_folder_and_no_list_of_letters(folder, model, tmp_path):
    assert predict_to_file(model, str(folder), tmp_path / "p.csv") == COUNT
    with pytest.raises(ValueError, match="`paths` must be a file, a folder, or a list of them on this machine"):
        predict_to_file(model, "gs://bucket/photos", tmp_path / "q.csv")


def test_a_layer_in_front_is_known_by_its_settings_and_not_by_its_name(folder, model, tmp_path, caplog):
    caplog.set_level("INFO", "kertl")
    for _ in range(2):  # the second layer has another automatic name
        foreign = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
        keras.utils.set_random_seed(1)
        foreign = keras.Model(foreign.inputs, keras.layers.Dense(3, "softmax", name="out")(foreign.outputs[0]))
        predict_to_file(foreign, folder, tmp_path / "p.csv", preprocessing=keras.layers.Rescaling(1 / 255))
    assert "is finished" in caplog.text
    with pytest.raises(RunError, match="differs in preprocessing"):
        predict_to_file(foreign, folder, tmp_path / "p.csv", preprocessing=keras.layers.Rescaling(3.0))


def test_what_does_not_exist_or_is_named_twice(folder, model, tmp_path):
    with pytest.raises(DataError, match="`paths` must name files or folders that exist"):
        predict_to_file(model, tmp_path / "photoz", tmp_path / "p.csv")
    with pytest.raises(ValueError, match="rotatoin"):
        predict_to_file(model, folder, tmp_path / "p.csv", views=2, augment=["rotatoin"])
    first = min(folder.iterdir())
    kertl.save(model, tmp_path / "m.keras")
    command = ["predict", str(tmp_path / "m.keras"), str(first), str(folder), "--out", str(tmp_path / "c.csv")]
    assert [run(command), run(command)] == [0, 0], "the second time it is finished"
    assert len(rows(tmp_path / "c.csv")) == COUNT
    assert predict_to_file(model, [first, folder], tmp_path / "p.csv", views=2, augment=["rotation"]) == COUNT

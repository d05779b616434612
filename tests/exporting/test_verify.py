import shutil

import pytest

import kertl
from kertl.errors import RunError
from kertl.inspection import Verification
from tests.runs import python


def test_a_run_as_it_was_written_has_no_problem(finished):
    found = kertl.verify(finished.run_dir)
    assert found.problems == []
    checked = {row.what: row.files for row in found.rows}
    assert checked["results"] == 3
    assert checked["images"] == 36
    assert checked["checkpoints"] >= 1
    assert checked["parts of the model"] >= 3
    assert "as they were written" in found.table()
    assert Verification.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "file", ["metrics.json", "history.csv", "model.keras", "checkpoints/*.npz", "an image", "a name", "gone"]
)
def test_a_changed_file_is_named(finished, photos, tmp_path, file):
    folder = tmp_path / "run"
    shutil.copytree(finished.run_dir, folder)
    if file == "an image":
        copy = tmp_path / "photos"
        shutil.copytree(photos, copy)
        environment = folder / "environment.json"
        environment.write_text(environment.read_text().replace(str(photos), str(copy)))
        changed = copy / "red" / "1.png"
    elif file == "a name":
        with (folder / "SHA256SUMS").open("a") as sums:
            sums.write(f"{'0' * 64}  ../../elsewhere\n")
        assert len(kertl.verify(folder).problems) == 1
        assert "elsewhere" in kertl.verify(folder).problems[0]
        return
    else:
        changed = next(folder.glob("history.csv" if file == "gone" else file))
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    if file == "gone":
        changed.unlink()
    problems = kertl.verify(folder).problems
    assert problems
    assert all(changed.name in problem for problem in problems)
    assert changed.name in kertl.verify(folder).table().replace("\n", "")


FORMS = {"model.tflite": ("litert", None), "small.tflite": ("litert", "dynamic"), "again.keras": ("keras", None)}


@pytest.fixture(scope="module")
def with_exports(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exports") / "run"
    shutil.copytree(finished.run_dir, folder, ignore=shutil.ignore_patterns("export"))
    for name, (form, quantize) in FORMS.items():
        kertl.export(folder, folder / "export" / name, format=form, quantize=quantize)
    return folder


@pytest.mark.parametrize("name", FORMS)
def test_an_export_that_has_changed_is_named_whatever_its_format(with_exports, tmp_path, name):
    folder = tmp_path / "run"
    shutil.copytree(with_exports, folder)
    found = kertl.verify(folder)
    assert found.problems == []
    assert {row.what: (row.files, row.note) for row in found.rows}["exports"] == (len(FORMS), "")
    content = bytearray((folder / "export" / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "export" / name).write_bytes(content)
    (problem,) = kertl.verify(folder).problems
    assert name in problem
    (folder / "export" / "another.bin").write_bytes(b"1")
    assert "another.bin" in {row.what: row.note for row in kertl.verify(folder).rows}["exports"]


def test_the_model_card_lists_the_exports_that_are_as_they_were_checked(with_exports, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(with_exports, folder)
    card = folder / "export" / "model_card.md"
    assert all(f"| {name} |" in card.read_text() for name in FORMS)
    (folder / "export" / "small.tflite").write_bytes(b"1")
    kertl.export(folder, folder / "export" / "model.tflite", format="litert")
    assert card.read_text().count("| model.tflite |") == 1
    assert "again.keras" in card.read_text()
    assert "small.tflite" not in card.read_text()


def test_a_directory_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="SHA256SUMS"):
        kertl.verify(tmp_path)


def test_the_commands_import_neither_keras_nor_tensorflow(finished):
    printed = python(
        f"""
        import sys
        from kertl.cli import run

        assert run(["verify", {str(finished.run_dir)!r}]) == 0
        assert run(["inspect", {str(finished.run_dir)!r}]) == 0
        print("imported:", [name for name in ("keras", "tensorflow", "jax", "sklearn") if name in sys.modules])
        """
    )
    assert "imported: []" in printed
    assert "as they were written" in printed
    assert "GlobalAveragePooling2D" in printed

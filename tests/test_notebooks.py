"""The notebooks for Colab: made from the scripts beside them, and run from the first cell to the last, small."""

import jupytext
import nbclient
import nbformat
import pytest

from tests.families import tiny_backbone
from tests.runs import REPOSITORY

COLAB = REPOSITORY / "examples" / "colab"
NAMES = sorted(path.stem for path in COLAB.glob("*.py"))
# Written in a notebook -> what runs here, without a network.
SMALLER = {
    '"EfficientNetV2B0"': '"tiny.keras"',
    "SIZE = 224": "SIZE = 32",
    'recipe="mid"': 'recipe=kertl.Stage("deep", epochs=2, augment="none")',
}


def cells(notebook):
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def run(name, folder, **settings):
    """Run the cells as they stand in the script, with other settings; what they printed."""
    tiny_backbone().save(folder / "tiny.keras")
    notebook = jupytext.read(COLAB / f"{name}.py")
    replaced = {**SMALLER, **settings}
    text = "\n".join(cell.source for cell in notebook.cells)
    assert [written for written in replaced if written not in text] == []
    for cell in notebook.cells:
        for written, instead in replaced.items():
            cell.source = cell.source.replace(written, instead)
    done = nbclient.NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in done.cells for output in cell.get("outputs", ())]
    return "".join(output.get("text", "") for output in outputs), outputs


def test_each_notebook_is_that_of_the_script_beside_it():
    assert NAMES == ["images", "tpu"] == sorted(path.stem for path in COLAB.glob("*.ipynb"))
    for name in NAMES:
        written = nbformat.read(COLAB / f"{name}.ipynb", as_version=4)
        assert cells(written) == cells(jupytext.read(COLAB / f"{name}.py")), f"make notebooks, since {name} differs"
        assert not any(cell.get("outputs") for cell in written.cells)


@pytest.mark.slow
@pytest.mark.promise
def test_a_notebook_trains_shows_its_report_and_exports(tmp_path):
    printed, outputs = run("images", tmp_path)
    assert "circle" in printed
    shown = [output.data.get("text/html", "") for output in outputs if "data" in output]
    (report,) = [text for text in shown if "<iframe" in text]
    assert "&lt;h1" in report
    assert (tmp_path / "classifier.tflite").is_file()
    assert (tmp_path / "runs" / "1" / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_where_there_is_no_tpu_its_notebook_runs_on_the_cpu(backend, tmp_path, monkeypatch):
    pytest.importorskip(backend)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    printed, _ = run("tpu", tmp_path, **{'BACKEND = "jax"': f'BACKEND = "{backend}"'})
    assert f"on {backend}" in printed
    assert "Devices: cpu:0" in printed
    assert (tmp_path / "classifier.keras").is_file()

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run as kertl_command
from kertl.errors import RunError
from kertl.report import write_comparison, write_result
from kertl.runner import _fine_tune, _run, data_of, read_run
from kertl.runner._story import story_of
from tests.families import tiny_backbone
from tests.runs import quick, recipe

HOSTILE = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.ids, self.texts, self.open = [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def photos(folder, names, per_class=12):
    random = np.random.default_rng(0)
    rows = ["file,label"]
    for number, name in enumerate(names):
        for each in range(per_class):
            file = f"{number}_{each}.png"
            Image.fromarray(random.integers(60 * number, 200, (32, 32, 3), dtype="uint8")).save(folder / file)
            rows.append(f'{file},"{name}"')
    (folder / "labels.csv").write_text("\n".join(rows))
    return folder / "labels.csv"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    table = photos(folder, [HOSTILE, "b\u202ec", "c"])
    data = kertl.data.from_csv(table, image_size=(32, 32), validation=0.25, test=0.25, batch_size=8)
    model = kertl.build(tiny_backbone(), class_names=data.class_names)
    run = kertl.fine_tune(
        model, data, recipe=recipe(quick(epochs=2), quick("mid")), run_dir=folder / "runs" / "first", verbose=0
    )
    return run, run.report().read_text(encoding="utf-8"), folder


def test_the_page_needs_nothing_beside_it(trained):
    run, text, _ = trained
    page = Page(text)
    assert "script" not in page.tags
    assert "link" not in page.tags
    for tag, name, value in page.attributes:
        if name in ("src", "href", "xlink:href"):
            assert value.startswith(("data:image/webp;base64,", "#")), (tag, name, value[:60])
    assert "@import" not in text
    assert "url(http" not in text
    assert len(text) < 2e6
    assert len(set(page.ids)) == len(page.ids)
    anchors = {value[1:] for tag, name, value in page.attributes if tag == "a" and name == "href"}
    assert anchors <= set(page.ids)
    assert run.run_dir.joinpath("report.html").read_text(encoding="utf-8") == text


def test_it_says_how_good_the_model_is_and_where_it_fails(trained):
    run, text, _ = trained
    page = Page(text)
    accuracy = run.metrics["test"]["accuracy"]
    assert f"{accuracy:.3f}" in page.text
    for heading in ("How well it does", "How it was trained", "Where it is wrong", "The images with the largest loss"):
        assert heading in page.text
    confusion = np.array(run.metrics["test"]["confusion"])
    (matrix,) = re.findall(r'aria-label="Confusion matrix">.*?</table>', text, flags=re.DOTALL)
    assert [int(cell) for cell in re.findall(r"%\)\">(\d+)<", matrix)] == confusion.ravel().tolist()
    assert text.count("<img ") >= 12
    assert all(alt for tag, name, alt in page.attributes if tag == "img" and name == "alt")
    assert "0_0.png" in text or "1_0.png" in text or "2_0.png" in text
    assert str(run.run_dir.parents[1]) not in text  # files are named as in the table


def test_names_that_somebody_chose_are_only_text(trained):
    _, text, _ = trained
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "\u202e" not in text
    assert "\\u202e" in text


def test_a_run_is_read_again_with_its_images_where_they_were_or_are_now(trained, tmp_path, capsys):
    run, text, folder = trained
    found = read_run(run.run_dir)
    assert found.metrics == run.metrics
    assert list(found.rows) == list(run.rows)
    data, why = data_of(found)
    assert why == ""
    assert data.records == run.data.records
    for part in ("train", "validation", "test"):
        one, two = getattr(data, part).in_order(), getattr(run.data, part).in_order()
        assert (one.files, list(one.labels)) == (two.files, list(two.labels))
    assert data_of(found, root=folder)[0].records == run.data.records
    assert "images are not there" in data_of(found, root=tmp_path)[1]
    assert kertl_command(["report", str(run.run_dir), "--out", str(tmp_path / "again.html")]) == 0
    again = (tmp_path / "again.html").read_text(encoding="utf-8")
    assert Page(again).text == Page(text).text
    assert "again.html" in capsys.readouterr().out


def test_without_its_images_the_page_says_so(trained, tmp_path):
    run, _, _ = trained
    page = Page(read_run(run.run_dir).report(tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert "The images were not at hand" in page.text
    assert f"{run.metrics['test']['accuracy']:.4f}" in page.text


def test_several_runs_are_side_by_side_with_what_differs(trained, tmp_path):
    run, _, folder = trained
    other = folder / "runs" / "second"
    model = kertl.build(tiny_backbone(), class_names=run.data.class_names)
    kertl.fine_tune(model, run.data, recipe=recipe(quick(learning_rate=0.5)), run_dir=other, verbose=0)
    assert kertl_command(["report", str(run.run_dir), str(other), "--out", str(tmp_path / "two.html")]) == 0
    text = (tmp_path / "two.html").read_text(encoding="utf-8")
    (row,) = re.findall(r"<tr([^>]*)><th[^>]*>stage 1: learning_rate</th>(.*?)</tr>", text)
    assert "differs" in row[0]
    assert re.findall(r"<td>(.*?)</td>", row[1]) == ["0.01", "0.5"]
    (same,) = re.findall(r"<tr([^>]*)><th[^>]*>stage 1: optimizer</th>", text)
    assert "differs" not in same


@pytest.mark.parametrize("task", ["binary", "multi_label", "regression"])
def test_every_task_has_a_page(task, tmp_path):
    labels = {
        "binary": ["no", "yes"] * 12,
        "multi_label": np.array([[1, 0], [1, 1], [0, 0], [0, 1]] * 6),
        "regression": np.arange(24.0),
    }[task]
    pictures = np.random.default_rng(0).integers(0, 255, (24, 32, 32, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, labels, task=task, validation=0.25, test=0.25)
    model = kertl.build(tiny_backbone(), class_names=data.class_names, task=task)
    run = kertl.fine_tune(model, data, recipe=recipe(quick()), verbose=0)
    page = Page(run.report(tmp_path / "page.html").read_text(encoding="utf-8"))
    for name in data.class_names:
        assert name in page.text
    assert page.tags.count("img") >= 6
    assert "nan" not in page.text.lower().split()


@pytest.mark.parametrize("task", ["single_label", "binary", "multi_label", "regression"])
def test_a_run_with_nothing_held_out_has_a_page_without_metrics(task, tmp_path):
    labels = {"multi_label": np.array([[1, 0], [0, 1]] * 6), "regression": np.arange(12.0)}.get(task, [0, 1] * 6)
    pictures = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), dtype="uint8")
    data = kertl.data.from_arrays(pictures, labels, task=task, validation=0, test=0)
    model = kertl.build(tiny_backbone(), class_names=data.class_names, task=task)
    run = kertl.fine_tune(model, data, recipe=recipe(quick()), verbose=0)
    page = Page(run.report(tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "neither a validation nor a test set" in page.text


def test_a_search_or_any_other_result_has_one(trained, tmp_path):
    run, _, _ = trained
    found = kertl.baselines(run.model, run.data)
    text = write_result(found, tmp_path / "page.html", "Baselines").read_text(encoding="utf-8")
    assert "<svg" in text
    assert "logistic" in text


def test_fine_tune_writes_it_and_goes_on_where_it_cannot(trained, tmp_path, monkeypatch, caplog):
    run, _, _ = trained
    written = []
    monkeypatch.setattr(_run.Run, "report", lambda self: written.append(self) or tmp_path / "report.html")
    reported = _fine_tune.reported_for_real
    reported(run)
    assert written == [run]

    def broken(self):
        raise RunError("The disk is full.")

    monkeypatch.setattr(_run.Run, "report", broken)
    reported(run)
    assert "No report was written: The disk is full." in caplog.text


def test_what_is_no_finished_run_is_named(tmp_path, trained):
    run, _, _ = trained
    with pytest.raises(RunError, match="must be the directory of a finished run"):
        read_run(tmp_path)
    memory = kertl.Run(run.model, run.recipe, run.rows, run.metrics, None)
    with pytest.raises(RunError, match="`path` must be given"):
        memory.report()


def refitted(folder, test):
    """A run for a yes-or-no question, whose head was solved once more on the validation images too."""
    random = np.random.default_rng(0)
    pictures = random.integers(0, 255, (60, 32, 32, 3), dtype="uint8")
    pictures[::2] //= 2
    data = kertl.data.from_arrays(
        pictures, [0, 1] * 30, validation=0.25, test=test, task="binary", class_names=["no", "yes"], batch_size=8
    )
    model = kertl.build(tiny_backbone(), class_names=["no", "yes"], task="binary")
    plan = recipe(kertl.Stage("deep", solver="exact"), refit=True)
    return kertl.fine_tune(model, data, recipe=plan, run_dir=folder, report=False, verbose=0)


@pytest.mark.parametrize("test", [0.25, 0.0])
def test_metrics_and_thresholds_from_before_a_refit_are_said_to_be(tmp_path, test):
    run = refitted(tmp_path / "run", test)
    assert run.refit is not None
    page = Page(run.report().read_text(encoding="utf-8"))
    assert "validation, before the refit" in page.text
    assert "metrics of the validation set are from before the refit" in page.text
    assert "with the highest F1 on the validation set. It was chosen before the refit" in page.text
    assert ("validation set, before the refit" in page.text) == (test == 0)  # the number at the top
    assert "Validation (before the head was solved once more)" in run.table()
    compared = write_comparison([story_of(run), story_of(run)], tmp_path / "two.html").read_text(encoding="utf-8")
    assert ("from before the refit" in Page(compared).text) == (test == 0)


def test_without_a_refit_nothing_is_said_of_one(trained):
    assert "before the refit" not in trained[1]

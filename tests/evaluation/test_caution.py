import csv
import json
from pathlib import Path

import numpy as np
import pytest

import kertl
from kertl.cli import run
from kertl.evaluation import cautious, predict_to_file
from kertl.evaluation._caution import conformal_level, least_for_risk
from tests.families import tiny_backbone
from tests.runs import NAMES, classifier, quick, recipe, squares

# Predictions of the run of `make demo` that tunes a MobileNetV2 from the boundary "mid" on, for its photos of cells.
CELLS = Path(__file__).with_name("cells_predictions.csv")


def cells(part):
    """The classes and the probabilities of each class."""
    with CELLS.open(newline="") as file:
        rows = [row for row in csv.reader(file) if row[0] == part]
    said = np.array([[float(cell) for cell in row[2:]] for row in rows])
    return np.array([int(row[1]) for row in rows]), np.hstack([1 - said, said]) if said.shape[1] == 1 else said


def halves(repeats=300):
    """Random halves of the test images: one to choose on, one to judge by."""
    truth, said = cells("test")
    for seed in range(repeats):
        order = np.random.default_rng(seed).permutation(len(truth))
        one, other = order[: len(order) // 2], order[len(order) // 2 :]
        yield truth[one], said[one], truth[other], said[other]


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_have_the_right_class_for_the_share_of_images_that_was_asked_for(coverage):
    covered = []
    for truth, said, later, judged in halves():
        level = conformal_level(said[np.arange(len(truth)), truth], coverage)
        covered.append((judged[np.arange(len(later)), later] >= level).mean())
    assert np.mean(covered) == pytest.approx(coverage, abs=0.01)
    truth, said = cells("validation")
    later, judged = cells("test")
    level = conformal_level(said[np.arange(len(truth)), truth], coverage)
    assert (judged[np.arange(len(later)), later] >= level).mean() == pytest.approx(coverage, abs=0.04)


def test_the_share_of_wrong_answers_is_at_most_the_risk():
    broken = []
    for truth, said, later, judged in halves():
        least = least_for_risk(said.max(axis=1), said.argmax(axis=1) != truth, 0.15)
        given = judged.max(axis=1) >= least
        broken.append((judged.argmax(axis=1) != later)[given].mean() > 0.15)
        assert given.mean() > 0.2
    assert np.mean(broken) <= 0.05


def test_what_cannot_be_promised_is_refused():
    with pytest.raises(ValueError, match=r"`coverage` must be such that 8 validation images suffice \(it takes 9\)"):
        conformal_level(np.linspace(0, 1, 8), 0.9)
    assert conformal_level(np.linspace(0.1, 0.9, 9), 0.9) == pytest.approx(0.1)
    with pytest.raises(ValueError, match="`risk` must be one that some answers keep to"):
        least_for_risk(np.linspace(0.5, 1, 40), np.arange(40) % 2 == 0, 0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"least": 0.5, "risk": 0.1}, "`least` must be None with `risk`"),
        ({"risk": 0.1}, "`validation` must be images with labels"),
        ({"coverage": 1.0}, "`coverage` must be a number > 0 and < 1"),
        ({"least": 0}, "`least` must be a number > 0 and <= 1"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        cautious(kertl.build(tiny_backbone(), class_names=NAMES), **arguments)


def test_several_labels_are_refused():
    with pytest.raises(ValueError, match="where an image has one class"):
        cautious(kertl.build(tiny_backbone(), class_names=NAMES, task="multi_label"), least=0.5)


def test_a_yes_or_no_question_has_the_probability_of_its_answer():
    model = kertl.build(tiny_backbone(), class_names=["no", "yes"], task="binary")
    chosen = cautious(model, least=0.8)
    said = np.array([[0.1], [0.3], [0.7], [0.9]])
    assert chosen.abstains(said).tolist() == [False, True, True, False]
    assert chosen.sets(said)[0] == ["no", "yes"]


def test_files_have_columns_of_doubts(tmp_path):
    from PIL import Image

    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    data = squares(per_class=32)
    model = kertl.build(tiny_backbone(), class_names=NAMES)
    chosen = cautious(model, data.validation, least=0.999, coverage=0.9)
    predict_to_file(model, [tmp_path], tmp_path / "p.csv", caution=chosen)
    with (tmp_path / "p.csv").open(newline="") as file:
        one, two = csv.DictReader(file)
    assert one["abstains"] == "yes"
    assert set(one["set"].split("; ")) <= {*NAMES, ""}
    assert (two["abstains"], two["set"]) == ("", "")


def test_the_command_chooses_on_the_validation_images_of_a_run(tmp_path, capsys):
    from PIL import Image

    for number, (pixels, label) in enumerate(_pictures()):
        place = tmp_path / "photos" / NAMES[label] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(place)
    data = kertl.data.from_directory(tmp_path / "photos", image_size=(32, 32), validation=0.5, test=0)
    kertl.fine_tune(classifier(), data, recipe=recipe(quick()), run_dir=tmp_path / "run", verbose=0)
    asked = ["predict", str(tmp_path / "run"), str(tmp_path / "photos" / NAMES[0]), "--json"]
    capsys.readouterr()
    assert run([*asked, "--coverage", "0.9", "--abstain", "0.34"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert all(isinstance(one["abstains"], bool) and set(one["set"]) <= set(NAMES) for one in found)
    kertl.save(kertl.load(tmp_path / "run"), tmp_path / "m.keras")
    asked[1] = str(tmp_path / "m.keras")
    assert run([*asked, "--coverage", "0.9"]) != 0
    assert "must have the validation images of a run" in " ".join(capsys.readouterr().err.split())
    assert run([*asked, "--abstain", "much"]) != 0


def _pictures():
    for dataset in [squares(validation=0, test=0).train.in_order()]:
        for index in range(len(dataset)):
            yield from zip(*(np.asarray(part) for part in dataset.batch(0, index)[:2]), strict=True)

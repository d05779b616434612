import json
import shutil

import numpy as np
import pytest

import kertl
from kertl._domains import SOURCE_FILE, Classifier
from kertl.adaptation import SourceFeatures
from kertl.run_files import SUMS
from tests.adaptation.domains import dimmed, pictures, source
from tests.messages import assert_names
from tests.runs import tiny

STAGE = kertl.Stage("deep", solver="exact", augment="none")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "kept"
    options = {"recipe": STAGE, "run_dir": folder, "keep_features": True, "report": False}
    return kertl.fine_tune(tiny(dropout=0.0), source(), **options)


@pytest.fixture
def copied(run, tmp_path):
    return shutil.copytree(run.run_dir, tmp_path / "run")


def adapted(run, folder):
    return kertl.adapt(run.model, pictures(dimmed().train), source=folder, method="align").model


def test_a_run_keeps_the_features_that_adapt_needs_of_images_that_were_in_memory(run):
    images = Classifier(adapted(run, source()))
    kept = Classifier(adapted(run, run.run_dir))
    assert kept.kernel == pytest.approx(images.kernel, abs=1e-5)
    assert kertl.verify(run.run_dir).problems == []
    assert f"  {SOURCE_FILE}\n" in (run.run_dir / SUMS).read_text()


def test_a_finished_run_gets_them_when_they_are_asked_for(tmp_path):
    options = {"recipe": STAGE, "run_dir": tmp_path / "run", "report": False}
    kertl.fine_tune(tiny(dropout=0.0), source(), **options)
    assert not (tmp_path / "run" / SOURCE_FILE).exists()
    model = tiny(dropout=0.0)
    kertl.fine_tune(model, source(), **options, keep_features=True)
    SourceFeatures.load(tmp_path / "run" / SOURCE_FILE).check(Classifier(model))
    assert kertl.runner.read_run(tmp_path / "run").metrics is not None
    (tmp_path / "run" / SOURCE_FILE).write_bytes(b"damaged")
    with pytest.raises(kertl.errors.RunError, match=r"Remove it; the same `fine_tune\(\.\.\., keep_features=True\)`"):
        kertl.adapt(model, pictures(dimmed().train), source=tmp_path / "run")
    (tmp_path / "run" / SOURCE_FILE).unlink()
    kertl.fine_tune(tiny(dropout=0.0), source(), **options, keep_features=True)
    SourceFeatures.load(tmp_path / "run" / SOURCE_FILE).check(Classifier(model))
    assert kertl.verify(tmp_path / "run").problems == []


def test_a_run_without_checksums_is_refused_as_a_source(run, copied):
    (copied / SUMS).unlink()
    with pytest.raises(kertl.errors.RunError) as raised:
        adapted(run, copied)
    assert_names(raised, "must be the directory of a finished run", str(copied))


@pytest.mark.parametrize("file", [SOURCE_FILE, "metrics.json"])
def test_a_run_with_a_changed_file_is_refused_as_a_source(run, copied, file):
    content = bytearray((copied / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / file).write_bytes(content)
    with pytest.raises(kertl.errors.RunError) as raised:
        adapted(run, copied)
    assert_names(raised.value, file, "which is not the one in SHA256SUMS")


def test_features_are_kept_of_classifiers_with_a_run_directory_alone(tmp_path):
    with pytest.raises(ValueError, match="`keep_features` must be False without `run_dir`"):
        kertl.fine_tune(tiny(), source(), recipe=STAGE, keep_features=True)
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (12, 32, 32, 3), dtype="uint8")
    tagged = kertl.data.from_arrays(x, random.integers(0, 2, (12, 2)), task="multi_label", validation=0, test=0)
    model = kertl.build(tiny(), num_classes=2, task="multi_label")
    with pytest.raises(ValueError, match="tasks other than single_label and binary"):
        kertl.fine_tune(model, tagged, recipe=STAGE, run_dir=tmp_path / "run", keep_features=True)


def test_shift_and_adapt_measure_the_same_images_of_the_source(run):
    data = kertl.data.from_arrays(
        pictures(source().train), source().train.labels, class_names=["blue", "green", "red"], test=0.25, validation=0
    )
    target = pictures(dimmed().train)
    found = kertl.shift(run.model, data, target, boundaries=["deep"])
    result = kertl.adapt(run.model, target, source=data, method="align")
    assert found.images == result.images[::-1]
    assert json.loads(found.to_json())["images"] == [data.train.num_examples, len(target)]

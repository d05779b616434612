"""What `fine_tune` writes for TensorBoard, as TensorBoard itself serves it."""

import io
import json
import logging
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import keras
import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.features import write_projector
from tests.runs import NAMES, REPOSITORY, quick, recipe, squares, tiny

HOME, TRAIN, VALIDATION = "one/tensorboard", "one/tensorboard/train", "one/tensorboard/validation"
RECIPE = recipe(quick("deep", epochs=3, cache=True), quick("mid", epochs=2, augment="light", mixup=0.2))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "one"
    made = kertl.fine_tune(tiny(), squares(), recipe=RECIPE, run_dir=folder, verbose=0)
    data = squares()
    features = kertl.extract(made.model, data.validation, at="deep", engine="keras")
    write_projector(features, folder / "tensorboard", data.validation, name="before the head")
    return made


@pytest.fixture(scope="module")
def ask(run):
    """Asks a TensorBoard of its own on loopback for an address."""
    command = ["-m", "tensorboard.main", "--logdir", str(run.run_dir.parent), "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as server:
        try:
            lines = iter(server.stderr.readline, "")
            address = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))

            def get(path, body=None, **query):
                url = f"{address}data/{path}?{urllib.parse.urlencode(query)}"
                data = None if body is None else json.dumps(body).encode()
                request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
                with urllib.request.urlopen(request, timeout=60) as answer:
                    found = answer.read()
                    return json.loads(found) if "json" in answer.headers["Content-Type"] else found

            deadline = time.monotonic() + 60
            while "final/test/roc" not in get("plugin/images/tags").get(HOME, ()) and time.monotonic() < deadline:
                time.sleep(0.2)  # it reads what is written little by little
            yield get
        finally:
            server.kill()


def test_scalars_are_those_of_the_history(run, ask):
    assert {HOME, TRAIN, VALIDATION} <= set(ask("runs"))
    for where, prefix in ((TRAIN, ""), (VALIDATION, "val_")):
        for name in ("loss", "accuracy"):
            found = ask("plugin/scalars/scalars", run=where, tag=f"epoch_{name}")
            assert [(step, pytest.approx(value)) for _, step, value in found] == list(
                enumerate(run.history[prefix + name])
            )
    final = ask("plugin/scalars/scalars", run=HOME, tag="final/test_accuracy")
    assert [value for *_, value in final] == pytest.approx([run.metrics["test"]["accuracy"]])


def test_stage_boundaries_are_marked(run, ask):
    found = ask("plugin/scalars/scalars", run=HOME, tag="stage")
    assert [(step, value) for _, step, value in found] == [(0, 1), (2, 1), (3, 2), (4, 2)]
    texts = ask("plugin/text/text", run=HOME, tag="stages")
    assert [one["step"] for one in texts] == [0, 3]
    assert "Stage 2 of 2" in texts[1]["text"]
    assert "mixup=0.2" in texts[1]["text"]


def test_groups_are_measured_stage_after_stage(run, ask):
    tags = ask("plugin/scalars/tags")[TRAIN]
    steps = [step for _, step, _ in ask("plugin/scalars/scalars", run=TRAIN, tag="weight_norm/head")]
    assert steps == sorted(set(steps))
    assert max(steps) > 3 * 3  # the second stage goes on counting where the first one ended
    assert "update_ratio/block2" in tags


def test_recipe_data_and_environment_are_texts(run, ask):
    shown = {tag: ask("plugin/text/text", run=HOME, tag=tag)[0]["text"] for tag in ("recipe", "data", "environment")}
    assert "mid" in shown["recipe"]
    assert all(name in shown["data"] for name in NAMES)
    assert keras.__version__ in shown["environment"]


def test_images_show_predictions_for_all_sets(run, ask):
    tags = ask("plugin/images/tags")[HOME]
    for part in ("validation", "test"):
        for tag in (f"final/{part}/{what}" for what in ("predictions", "confusion", "roc")):
            assert tag in tags
            (one,) = ask("plugin/images/images", run=HOME, tag=tag, sample=0)
            query = dict(urllib.parse.parse_qsl(one["query"]))
            served = Image.open(io.BytesIO(ask("plugin/images/individualImage", **query)))
            assert min(served.size) > 100


def test_curves_are_those_of_the_predictions(run, ask):
    tag = f"final/test/precision_recall/{NAMES[0]}"
    (curve,) = ask("plugin/pr_curves/pr_curves", run=HOME, tag=tag)[HOME]
    data = squares()
    chances, truth = kertl.predict(run.model, data.test)[:, 0], np.asarray(data.test.labels) == 0
    place = curve["thresholds"].index(0.3)
    assert curve["true_positives"][place] == np.sum((chances >= 0.3) & truth)
    assert curve["false_positives"][place] == np.sum((chances >= 0.3) & ~truth)


def test_the_graph_has_a_box_for_each_group(run, ask):
    graph = ask("plugin/graphs/graph", run=HOME).decode()
    for group in kertl.layer_groups(run.model):
        assert f'name: "{group.name}/' in graph


def test_hyperparameters_stand_beside_the_final_metrics(run, ask):
    experiment = ask("plugin/hparams/experiment", body={"experimentName": ""})
    names = {one["name"] for one in experiment["hparamInfos"]}
    assert {"model", "stage 1 at", "stage 2 learning_rate", "stage 2 mixup", "seed"} <= names
    metrics = [{"metric": {"group": "", "tag": "final/test_accuracy"}}]
    body = {"allowedStatuses": ["STATUS_SUCCESS"], "colParams": metrics, "startIndex": 0, "sliceSize": 10}
    (group,) = ask("plugin/hparams/session_groups", body=body)["sessionGroups"]
    assert group["hparams"]["stage 2 at"] == "mid"
    values = {one["name"]["tag"]: one["value"] for one in group["metricValues"]}
    assert values["final/test_accuracy"] == pytest.approx(run.metrics["test"]["accuracy"])


def test_features_open_in_the_projector(run, ask):
    runs = ask("plugin/projector/runs")
    assert runs == [HOME]
    (embedding,) = ask("plugin/projector/info", run=HOME)["embeddings"]
    name, count = embedding["tensorName"], squares().validation.num_examples
    assert embedding["tensorShape"] == [count, 16]
    vectors = np.frombuffer(ask("plugin/projector/tensor", run=HOME, name=name), np.float32).reshape(count, 16)
    data = squares()
    expected = kertl.extract(run.model, data.validation, at="deep", engine="keras").values
    np.testing.assert_allclose(vectors, expected, rtol=1e-5)
    rows = ask("plugin/projector/metadata", run=HOME, name=name).decode().splitlines()
    assert rows[0] == "label\tfile"
    assert [row.split("\t")[0] for row in rows[1:]] == [NAMES[label] for label in data.validation.labels]
    assert ask("plugin/projector/sprite_image", run=HOME, name=name)[:4] == b"\x89PNG"


def test_a_run_that_diverges_ends_as_failed_and_says_so(tmp_path, caplog):
    from tests.events.written import read

    caplog.set_level(logging.ERROR)
    hot = recipe(quick("mid", learning_rate=1e30, optimizer="sgd_nesterov", epochs=2))
    with pytest.raises(kertl.errors.DivergedError):
        kertl.fine_tune(tiny(), squares(), recipe=hot, run_dir=tmp_path, verbose=0)
    written = read(tmp_path / "tensorboard")
    assert "_hparams_/session_end_info" in written
    assert "final/test_accuracy" not in written

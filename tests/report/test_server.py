import base64
import io
import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

import kertl
from kertl.cli import run as kertl_command
from kertl.report._server import application
from tests.families import tiny_backbone
from tests.runs import NAMES

uvicorn = pytest.importorskip("uvicorn")


def png(seed, size=(40, 30)):
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype="uint8")).save(content, "PNG")
    return content.getvalue()


@contextmanager
def running(app):
    """The address where an application answers."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def served():
    """A model, and the address where it answers."""
    model = kertl.build(tiny_backbone(), class_names=NAMES)
    with running(application(model, most_bytes=200_000, most_images=4)) as address:
        yield model, address


def post(address, body, kind):
    """The status and the JSON of an answer."""
    request = urllib.request.Request(address, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def form(*contents):
    parts = b"".join(
        b'--x\r\nContent-Disposition: form-data; name="f"; filename="%d.png"\r\n\r\n%s\r\n' % (number, content)
        for number, content in enumerate(contents)
    )
    return parts + b"--x--\r\n", "multipart/form-data; boundary=x"


def test_images_are_answered_as_predict_does_in_each_form(served):
    model, address = served
    images = [png(1), png(2), png(3)]
    expected = kertl.answers(model, kertl.predict(model, images))
    in_json = json.dumps({"images": [base64.b64encode(one).decode() for one in images]}).encode()
    for body, kind in (form(*images), (in_json, "application/json")):
        status, found = post(f"{address}/predict", body, kind)
        assert status == 200
        for one, two in zip(found["answers"], expected, strict=True):
            assert [each["class"] for each in one["classes"]] == [each["class"] for each in two["classes"]]
            assert one["classes"][0]["probability"] == pytest.approx(two["classes"][0]["probability"], abs=1e-5)
    status, found = post(f"{address}/predict", images[0], "image/png")
    assert status == 200
    assert found["answers"][0]["classes"][0]["class"] == expected[0]["classes"][0]["class"]


def test_callers_at_once_get_their_own_answers(served):
    model, address = served
    images = [png(seed) for seed in range(24)]
    expected = kertl.predict(model, images).max(axis=1)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda image: post(f"{address}/predict", image, "image/png"), images))
    told = [answer["answers"][0]["classes"][0]["probability"] for _, answer in found]
    assert told == pytest.approx(expected.tolist(), abs=1e-5)


def test_an_image_that_cannot_be_read_is_told_and_the_others_are_answered(served):
    _, address = served
    status, found = post(f"{address}/predict", *form(b"no image", png(1)))
    assert status == 200
    assert "error" in found["answers"][0]
    assert "classes" in found["answers"][1]
    status, found = post(f"{address}/predict", b"no image", "image/png")
    assert status == 422
    assert "error" in found["answers"][0]


def test_places_are_shown_for_one_image(served):
    _, address = served
    status, found = post(f"{address}/explain", png(1), "image/png")
    assert status == 200
    assert found["answers"][0]["places"].startswith("data:image/webp;base64,")
    status, found = post(f"{address}/explain", *form(png(1), png(2)))
    assert status == 400
    assert "must be given one image" in found["error"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "message"),
    [
        (bytes(200_001), "image/png", 413, "at most 200,000 bytes"),
        (form(*[bytes(60_000)] * 4)[0], form()[1], 413, "at most 200,000 bytes"),
        (*form(*[b"x"] * 5), 400, "Too many files"),
        (json.dumps({"images": ["eA=="] * 5}).encode(), "application/json", 413, "at most 4 images"),
        (b'{"images": ["%%%"]}', "application/json", 400, "must be JSON of the form"),
        (b"[" * 100_000, "application/json", 400, "must be JSON of the form"),
        (b"{}", "application/json", 400, "must be JSON of the form"),
        (b'{"images": []}', "application/json", 400, "At least one image"),
        (b"a=b", "application/x-www-form-urlencoded", 415, "content-type 'application/x-www-form-urlencoded'"),
        (b"nonsense", "multipart/form-data; boundary=x", 400, ""),
        (b"nonsense", "multipart/form-data", 400, ""),
    ],
)
def test_what_is_no_request_is_refused_and_the_next_is_answered(served, body, kind, status, message):
    _, address = served
    found, told = post(f"{address}/predict", body, kind)
    assert found == status
    assert message in told["error"]
    assert post(f"{address}/predict", png(1), "image/png")[0] == 200


def test_the_page_and_nothing_but_its_own_files_are_reached(served):
    _, address = served
    for path, word in (("/", "Drop images here"), ("/serve.js", "use strict"), ("/serve.css", "--paper")):
        with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:
            assert word in answer.read().decode()
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    for path in ("/../__init__.py", "/%2e%2e/__init__.py", "/run.html", "/static/"):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{address}{path}", timeout=60)
        assert error.value.code == 404
        error.value.close()


def test_a_wrong_method_or_path_is_told_the_right_one(served):
    _, address = served
    for path, status, words in (
        ("/predict", 405, ("POST", "GET", f"curl -F file=@a.png {address}/predict")),
        ("/predictions", 404, ("POST /predict", "POST /explain")),
    ):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(f"{address}{path}", timeout=60)
        assert error.value.code == status
        told = json.load(error.value)["error"]
        assert all(word in told for word in words)
        assert error.value.headers["Allow"] == ("POST" if status == 405 else None)
        error.value.close()


def test_what_cannot_be_served_is_said(tmp_path, capsys, monkeypatch):
    (tmp_path / "none.keras").write_bytes(b"no model")
    assert kertl_command(["serve", str(tmp_path / "none.keras")]) == 1
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert kertl_command(["serve", str(tmp_path / "none.keras")]) == 1
    assert "kertl[serve]" in capsys.readouterr().err

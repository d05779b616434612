"""A cloud that is about to take the machine away is heard: a checkpoint is written, and the same call goes on exactly.

The clouds are played by a server on this machine.
"""

import http.server
import signal
import threading
import time

import keras
import pytest

import kertl
from kertl.runner import _notices
from tests.messages import assert_names
from tests.runs import digest, quick, recipe, squares, tiny


class Cloud(http.server.BaseHTTPRequestHandler):
    """Answers as both clouds do; what it says is in the server."""

    def do_PUT(self):
        assert self.path == "/latest/api/token"
        assert self.headers["X-aws-ec2-metadata-token-ttl-seconds"] == "3600"
        self.server.tokens += 1
        self._say(200, f"token-{self.server.tokens}")

    def do_GET(self):
        self.server.asked += 1
        gone = self.server.gone
        if self.server.broken:
            self._say(503, "")
        elif self.path == "/computeMetadata/v1/instance/preempted":
            assert self.headers["Metadata-Flavor"] == "Google"
            self._say(200, "TRUE" if gone else "FALSE")
        elif self.headers["X-aws-ec2-metadata-token"] != f"token-{self.server.tokens}" or self.server.forgets:
            self.server.forgets = False
            self._say(401, "")
        else:
            assert self.path == "/latest/meta-data/spot/instance-action"
            self._say(*((200, '{"action": "terminate", "time": "2026-01-02T03:04:05Z"}') if gone else (404, "")))

    def _say(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def cloud(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    server.gone = server.forgets = server.broken = False
    server.tokens = server.asked = 0
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"127.0.0.1:{server.server_port}"
    monkeypatch.setenv("GCE_METADATA_HOST", address)
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://{address}")
    monkeypatch.setattr(_notices, "_SECONDS", 0.02)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class TakenAway(keras.callbacks.Callback):
    """Has the cloud take the machine away at a batch, and waits there until the run has heard of it."""

    def __init__(self, cloud, at):
        super().__init__()
        self._cloud, self._left = cloud, at

    def on_train_batch_end(self, batch, logs=None):
        self._left -= 1
        if self._left == 0:
            self._cloud.gone = True
            deadline = time.monotonic() + 20
            while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL and time.monotonic() < deadline:
                time.sleep(0.01)

    def get_state(self):
        return None


def go(folder, callback=None, **options):
    options = {"recipe": recipe(quick("deep", epochs=3, augment="light")), "report": False, "verbose": 0, **options}
    return kertl.fine_tune(tiny(), squares(), run_dir=folder, callbacks=[callback] if callback else [], **options)


@pytest.mark.parametrize(
    ("notices", "said"),
    [
        ("gce", "Google Compute Engine says: this machine is being preempted"),
        pytest.param("ec2", "Amazon EC2 says", marks=pytest.mark.slow),
    ],
)
def test_a_machine_that_is_taken_away_leaves_a_checkpoint_and_the_run_goes_on_exactly(
    cloud, tmp_path, caplog, notices, said
):
    whole = digest(go(tmp_path / "whole", TakenAway(cloud, 0)).model)
    with pytest.raises(SystemExit) as left:
        go(tmp_path / "run", TakenAway(cloud, 6), notices=notices, checkpoint_seconds=1e6)
    assert left.value.code == 143
    assert_names(caplog.text, said, "A checkpoint is written", "Stopped by SIGTERM")
    cloud.gone = False
    assert digest(go(tmp_path / "run", TakenAway(cloud, 0), notices=notices).model) == whole
    assert "3 batches of the next" in caplog.text


def test_what_ec2_will_do_and_when_is_said_and_a_token_that_it_forgot_is_asked_for_again(cloud):
    ec2 = _notices._Ec2()
    assert ec2.notice() is None
    cloud.forgets = cloud.gone = True
    assert ec2.notice() == "this machine will be told to terminate at 2026-01-02T03:04:05Z"
    assert cloud.tokens == 2


def test_an_answer_that_fails_once_does_not_end_the_listening(cloud):
    came = threading.Event()
    with _notices.heard("gce", came.set):
        cloud.broken = True
        asked = cloud.asked
        while cloud.asked < asked + 3:
            time.sleep(0.01)
        assert not came.is_set()
        cloud.broken, cloud.gone = False, True
        assert came.wait(10)


def test_nobody_is_asked_afterwards_nor_without_being_told_to(cloud, tmp_path):
    go(tmp_path)
    assert cloud.asked == 0
    with _notices.heard("gce", pytest.fail):
        pass
    asked = cloud.asked
    time.sleep(0.1)
    assert cloud.asked == asked == 1


def test_a_machine_elsewhere_is_found_before_anything_is_trained(tmp_path, monkeypatch):
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    with pytest.raises(kertl.errors.SetupError) as caught:
        go(tmp_path, notices="gce")
    assert_names(caught.value, "`notices`", "'gce'", "http://127.0.0.1:9", "Google Compute Engine", "notices=None")
    assert not list(tmp_path.glob("checkpoints/*"))


def test_without_a_directory_or_with_another_cloud_it_is_refused():
    with pytest.raises(ValueError, match=r"`notices` must be None without a `run_dir`"):
        go(None, notices="gce")
    with pytest.raises(ValueError, match="`notices` must be None or 'gce' or 'ec2'"):
        go(None, notices="azure")


def test_an_address_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "https://127.0.0.1")
    with pytest.raises(ValueError, match="`AWS_EC2_METADATA_SERVICE_ENDPOINT` must be an address"):
        _notices._Ec2()

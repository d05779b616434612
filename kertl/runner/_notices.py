"""What a cloud tells a machine that is about to be taken away, heard in time to write a checkpoint.

Google Compute Engine and Amazon EC2 say it through an HTTP server that only the machine itself reaches. Kubernetes, and
most batch systems, send SIGTERM, which needs no more than `kertl.runner` listening to it.
"""

import contextlib
import http.client
import json
import logging
import os
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from kertl._checks import complain, one_of
from kertl.errors import SetupError

_logger = logging.getLogger(__name__)

_SECONDS = 5.0
"""Between two questions, as EC2 recommends; GCE gives 30 seconds from its notice on, EC2 two minutes."""
_PATIENCE_SECONDS = 2.0
_HOUR = "3600"


class _Answer(NamedTuple):
    status: int
    text: str


class _Server:
    """The HTTP server of a cloud; no proxy is between it and the machine.

    Args:
        variable: The environment variable that may name another address, as the cloud's own tools have it.
        usual: The address without it.
    """

    def __init__(self, variable: str, usual: str) -> None:
        given = os.environ.get(variable) or usual
        self.address = given if "//" in given else f"http://{given}"
        parts = urllib.parse.urlsplit(self.address)
        if parts.scheme != "http" or not parts.hostname:
            raise complain(variable, "an address such as 'http://127.0.0.1:8000'", given)
        self._host, self._port = parts.hostname, parts.port or 80

    def ask(self, path: str, method: str = "GET", **headers: str) -> _Answer:
        """The answer to one request.

        Raises:
            OSError: If there is none.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_PATIENCE_SECONDS)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            answer = connection.getresponse()
            return _Answer(answer.status, answer.read(65536).decode("utf-8", "replace"))
        except http.client.HTTPException as error:
            raise OSError(f"no HTTP answer: {error!r}") from error
        finally:
            connection.close()


class _ComputeEngine:
    """Google's: whether the machine is being preempted.

    Reference:
        https://cloud.google.com/compute/docs/instances/preemptible#determine_if_an_instance_was_preempted
    """

    def __init__(self) -> None:
        self.server = _Server("GCE_METADATA_HOST", "metadata.google.internal")

    def notice(self) -> str | None:
        """What is said; None if the machine stays.

        Raises:
            OSError: If there is no answer.
        """
        found = self.server.ask("/computeMetadata/v1/instance/preempted", Metadata_Flavor="Google")
        if found.status != 200:
            raise OSError(f"status {found.status}")
        return "this machine is being preempted" if found.text.strip() == "TRUE" else None


class _Ec2:
    """Amazon's: what will be done to a spot instance, and when; there is no such page while nothing will.

    Reference:
        https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html
    """

    def __init__(self) -> None:
        self.server = _Server("AWS_EC2_METADATA_SERVICE_ENDPOINT", "169.254.169.254")
        self._token = ""

    def notice(self) -> str | None:
        """What is said; None if the machine stays.

        Raises:
            OSError: If there is no answer.
        """
        found = self._page()
        if found.status == 401:  # the token is too old
            self._token = ""
            found = self._page()
        if found.status == 404:
            return None
        if found.status != 200:
            raise OSError(f"status {found.status}")
        try:
            told = json.loads(found.text)
            return f"this machine will be told to {told['action']} at {told['time']}"
        except (ValueError, LookupError, TypeError) as error:
            raise OSError(f"an answer of another form: {found.text[:100]!r}") from error

    def _page(self) -> _Answer:
        if not self._token:
            given = self.server.ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds=_HOUR)
            if given.status != 200:
                raise OSError(f"status {given.status} for a token")
            self._token = given.text
        return self.server.ask("/latest/meta-data/spot/instance-action", X_aws_ec2_metadata_token=self._token)


_CLOUDS: dict[str, tuple[str, Callable[[], _ComputeEngine | _Ec2]]] = {
    "gce": ("Google Compute Engine", _ComputeEngine),
    "ec2": ("Amazon EC2", _Ec2),
}
CLOUDS = tuple(_CLOUDS)
"""Those whose notices are heard."""


def check_notices(notices: str | None, *, written: bool) -> None:
    """Raise if notices are asked for that nobody gives, or where nothing is written.

    Args:
        notices: One of `CLOUDS`, or None.
        written: Whether the run has a directory to write a checkpoint to.

    Raises:
        ValueError: If so.
    """
    one_of("notices", notices, (None, *CLOUDS))
    if notices is not None and not written:
        raise complain("notices", "None without a `run_dir`", notices, "A checkpoint needs a place to be written to.")


@contextmanager
def heard(notices: str | None, act: Callable[[], None]) -> Iterator[None]:
    """Listen to a cloud's notices for a while, in a thread.

    Args:
        notices: Which cloud's; None listens to nothing.
        act: Called once, when the machine is about to be taken away.

    Raises:
        SetupError: If nobody answers the first question.
    """
    if notices is None:
        yield
        return
    name, make = _CLOUDS[notices]
    cloud, ended = make(), threading.Event()
    try:
        first = cloud.notice()
    except OSError as error:
        raise SetupError(
            f"`notices` must name the cloud that this machine is in, or be None. Received: notices={notices!r}, but "
            f"{cloud.server.address} does not answer as {name} does: {error}. Pass notices=None elsewhere."
        ) from error

    def listen() -> None:
        said = first
        while said is None and not ended.wait(_SECONDS):
            with contextlib.suppress(OSError):  # the next question may be answered
                said = cloud.notice()
        if said is not None and not ended.is_set():
            _logger.warning("%s says: %s. A checkpoint is written, and the run stops.", name, said)
            act()

    listener = threading.Thread(target=listen, name="kertl-notices", daemon=True)
    listener.start()
    try:
        yield
    finally:
        ended.set()
        listener.join()

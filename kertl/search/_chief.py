"""What the processes of a search on several workers say to the chief, and what is said where none answers.

A request outlasts the chief: KerasTuner's would raise if the chief died in the midst of one, and wait in silence for an
hour for a chief that is gone.
"""

import functools
import logging
import os
import time
from collections.abc import Callable
from typing import Any

from kertl._keras import oracle_client
from kertl.errors import RunError

_logger = logging.getLogger(__name__)

PATIENCE = 45.0
"""Seconds without an answer after which a worker says so."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")
_AGAIN = 5_000  # milliseconds between two attempts to reach a chief; gRPC's own grow to two minutes


def announce() -> None:
    """Log what a process of several waits for, and whether others can reach the search."""
    name, address = os.environ.get("KERASTUNER_TUNER_ID"), os.environ.get("KERASTUNER_ORACLE_IP")
    if name and "chief" in name:
        _logger.info("The chief of this search listens on %s and waits for workers.", _address())
    elif name:
        _logger.info("Worker %s asks the chief on %s for trials, and waits at most an hour for it.", name, _address())
    if address and address not in _LOOPBACK:
        _logger.warning(
            "The chief of this search listens on %s without authentication: whoever reaches that port can read and "
            "change the search. Keep it behind a firewall.",
            address,
        )


class Requests:
    """The requests of a worker to its chief, each made until it is answered; a chief may have been started again.

    Args:
        client: KerasTuner's, whose requests these replace.
    """

    def __init__(self, client: Any) -> None:
        import grpc

        often = [("grpc.max_reconnect_backoff_ms", _AGAIN)]
        self._stub = type(client.stub)(grpc.insecure_channel(_address(), options=often))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return functools.partial(_asked, getattr(self._stub, name))


def dismiss(oracle: Any) -> None:
    """In the chief: have its server stop, which it does when somebody asks for a trial and there are no more."""
    client = oracle_client(oracle)
    client.stub = Requests(client)
    client.create_trial("nobody")


def _asked(call: Callable[..., Any], request: Any, *, timeout: float, **options: Any) -> Any:
    """The answer to one request.

    Made twice it does no harm: who asks again for a trial gets the same one, and what ends twice counts once.

    Raises:
        RunError: If there is none for so many seconds.
    """
    import grpc

    gone = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    begin, said = time.monotonic(), False
    while True:
        try:
            return call(request, timeout=min(timeout, PATIENCE), **options)
        except grpc.RpcError as error:
            waited = time.monotonic() - begin
            if error.code() not in gone:
                raise
            if waited >= timeout:
                raise RunError(
                    f"The chief of a search must answer its workers. Received: no answer on {_address()} for "
                    f"{waited:.0f} seconds. Start it again, then the workers; the search goes on.",
                    code="workers",
                ) from error
            if waited >= PATIENCE and not said:
                said = True
                _logger.warning(
                    "Nothing answers on %s for %.0f seconds. Is the chief running, and do KERASTUNER_ORACLE_IP and "
                    "KERASTUNER_ORACLE_PORT name it? This worker still waits.",
                    _address(),
                    waited,
                )


def _address() -> str:
    return f"{os.environ.get('KERASTUNER_ORACLE_IP')}:{os.environ.get('KERASTUNER_ORACLE_PORT')}"

"""Ctrl-C and SIGTERM: continue to the next safe point, write a checkpoint, exit; the second time exit at once."""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

_logger = logging.getLogger(__name__)


class Stop:
    """Whether a signal has asked the run to stop.

    Attributes:
        asked: The signal that came, or None.
        waits: Whether `asked` is about to be checked; if not, the run ends as soon as a signal comes.
        leaving: The exception that ends the run, if any.
    """

    def __init__(self, hint: Callable[[], str] = str) -> None:
        self.asked: signal.Signals | None = None
        self.waits = False
        self.leaving: KeyboardInterrupt | SystemExit | None = None
        self._hint = hint

    def leave(self) -> NoReturn:
        """End the run as is usual for the signal; what there is to resume from is logged.

        Raises:
            KeyboardInterrupt: On SIGINT.
            SystemExit: On SIGTERM, with status 143.
        """
        came = self.asked or signal.SIGINT
        _logger.warning("Stopped by %s. %s", came.name, self._hint())
        self.leaving = KeyboardInterrupt() if came is signal.SIGINT else SystemExit(128 + came)
        raise self.leaving

    def come(self) -> None:
        """Stop as on SIGTERM, asked from any thread."""
        if signal.getsignal(signal.SIGTERM) == self.on_signal:
            os.kill(os.getpid(), signal.SIGTERM)  # interrupts the main thread, whatever it is doing
        else:
            self.asked = signal.SIGTERM

    def on_signal(self, number: int, _: FrameType | None) -> None:
        """Note the signal; a second one is handled as if nobody were listening."""
        self.asked = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if not self.waits:
            self.leave()


@contextmanager
def stopping(hint: Callable[[], str]) -> Iterator[Stop]:
    """Listen to SIGINT and SIGTERM for a while.

    Outside the main thread Python cannot listen, and a signal that was ignored stays so.

    Args:
        hint: Says, when the run ends, what there is to resume from.
    """
    stop = Stop(hint)
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in handlers.items() if handler not in (None, signal.SIG_IGN)}
    try:
        for number in before:
            signal.signal(number, stop.on_signal)
        yield stop
    except Exception:
        if stop.leaving is None:
            raise
        # Compiled code that a signal interrupts raises another exception instead.
        raise stop.leaving from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

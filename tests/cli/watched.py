"""A command on a pseudo-terminal, and when it shows something.

Silence is counted without the time in which the command was ready to run and others had the processor, which Linux
keeps by process, so that what is found does not depend on how busy the machine is.
"""

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

HIDDEN, SHOWN = b"\x1b[?25l", b"\x1b[?25h"  # the cursor: hidden as long as a spinner, a bar or a live table is there
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")


@dataclass
class Watched:
    """What a command did."""

    status: int = 0
    text: str = ""
    silences: list = field(default_factory=list)
    """Seconds in which nothing was on the way and nothing was written, and the last words before."""

    @property
    def longest(self):
        return max(self.silences)

    @property
    def lines(self):
        """The lines that stay, and those of the last state of live displays."""
        plain = ESCAPES.sub("", self.text)
        return [line.rsplit("\r", 1)[-1] for line in plain.replace("\r\n", "\n").split("\n")]


def watch(*arguments, columns=80, **environment):
    """Run `kertl ...` on a pseudo-terminal of so many columns."""
    mother, child = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "LINES": "40", "TERM": "xterm-256color", **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "kertl", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=child,
        stderr=child,
        env=environment,
        close_fds=True,
    )
    os.close(child)
    clock = _Clock(process.pid)
    found, live, raw, last = Watched(), False, b"", clock.seconds()
    while True:
        select.select([mother], [], [], 0.05)
        try:
            piece = os.read(mother, 65536)
        except OSError:  # the other end is closed
            piece = b""
        now = clock.seconds()
        if not live:
            found.silences.append((round(now - last, 2), ESCAPES.sub("", raw.decode(errors="replace"))[-60:].strip()))
        if not piece:
            break
        last, raw = now, raw + piece
        live = raw.rfind(HIDDEN) > raw.rfind(SHOWN)
    os.close(mother)
    found.status, found.text = process.wait(), raw.decode(errors="replace")
    return found


class _Clock:
    """The seconds since a process began, less those in which it waited for a processor."""

    def __init__(self, pid):
        self._begun, self._schedule, self._waited = time.monotonic(), Path(f"/proc/{pid}/schedstat"), 0.0

    def seconds(self):
        with contextlib.suppress(OSError, ValueError):  # it has ended, or this is not Linux
            self._waited = int(self._schedule.read_text().split()[1]) / 1e9
        return time.monotonic() - self._begun - self._waited

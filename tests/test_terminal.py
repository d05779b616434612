import io
import time

import pytest
from rich.console import Console

from kertl import _terminal
from kertl._terminal import counted, shortened, tracked, working


@pytest.mark.parametrize(("count", "said"), [(0, "0 epochs"), (1, "1 epoch"), (2000, "2,000 epochs")])
def test_one_of_something_is_not_several(count, said):
    assert counted(count, "epoch") == said


@pytest.mark.parametrize("length", [41, 42, 500])
def test_a_long_name_keeps_both_ends_and_fits(length):
    name = "begin" + "x" * (length - 8) + "end"
    short = shortened(name)
    assert len(short) == 40
    assert (short[:5], short[-3:], short.count("…")) == ("begin", "end", 1)
    assert shortened(name, most=length) == name
    assert "\x1b" not in shortened("\x1b" * length)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_work_shows_a_spinner_on_a_terminal_and_is_silent_if_asked():
    shown, silent = (Console(file=Terminal(), force_terminal=True, quiet=quiet) for quiet in (False, True))
    for console in (shown, silent):
        with working("Reading", console=console):
            time.sleep(0.05)
    assert "Reading …" in shown.file.getvalue()
    assert silent.file.getvalue() == ""


def test_work_that_takes_long_is_told_without_escapes_where_there_is_no_terminal(monkeypatch):
    monkeypatch.setattr(_terminal, "_PATIENCE_SECONDS", 0.05)
    console = Console(file=io.StringIO())
    with working("Reading", console=console):
        pass
    time.sleep(0.1)
    assert console.file.getvalue() == ""
    with working("Reading", console=console):
        time.sleep(0.2)
    assert console.file.getvalue() == "Reading …\n"


def test_long_work_says_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(_terminal, "_PATIENCE_SECONDS", 0.0)
    caplog.set_level("INFO", "kertl")
    assert list(tracked(iter("abc"), "Reading", 3, "page")) == ["a", "b", "c"]
    assert caplog.messages == ["Reading: 0 of 3 pages."]
    caplog.clear()
    assert list(tracked("abc", "Reading", 3, "page", verbose=False)) == ["a", "b", "c"]
    assert not caplog.messages

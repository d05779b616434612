import pytest

from kertl._terminal import counted, shortened


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

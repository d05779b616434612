import importlib
import pkgutil

import pytest

import kertl
from kertl import _deprecation
from kertl._deprecation import deprecated


def numbers(version):
    return tuple(int(part) for part in version.split(".")[:2])


def overdue(version, removals):
    return sorted(name for name, removed in removals.items() if numbers(removed) <= numbers(version))


def test_a_deprecated_function_works_and_says_what_to_use(monkeypatch):
    monkeypatch.setattr(_deprecation, "REMOVALS", {})

    @deprecated(since="0.3", removed="0.5", instead="kertl.new")
    def old(a, *, b):
        """What it did."""
        return a, b

    with pytest.warns(
        FutureWarning, match=r"old` is deprecated since kertl 0.3 .* gone in 0.5. Use `kertl.new`"
    ) as caught:
        assert old(1, b=2) == (1, 2)
    assert caught[0].filename == __file__
    assert old.__doc__ == "What it did."
    assert overdue("0.4.9", _deprecation.REMOVALS) == []
    assert len(overdue("0.5.0", _deprecation.REMOVALS)) == 1
    assert len(overdue("0.10.0", _deprecation.REMOVALS)) == 1


def test_what_was_to_be_gone_by_now_is_gone():
    for module in pkgutil.walk_packages(kertl.__path__, "kertl."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    ours = {name: removed for name, removed in _deprecation.REMOVALS.items() if name.startswith("kertl.")}
    assert overdue(kertl.__version__, ours) == []

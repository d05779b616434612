"""What can be reached after `import kertl`, and how."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import kertl
from tests.public_api import FILE, described
from tests.runs import REPOSITORY

PUBLIC_MODULES = [
    one.name
    for one in pkgutil.walk_packages(kertl.__path__, "kertl.")
    if not any(part.startswith("_") for part in one.name.split("."))
]


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_a_public_module_says_what_is_public_in_it(name):
    module = importlib.import_module(name)
    names = module.__all__
    assert len(set(names)) == len(names)
    for each in names:
        assert not each.startswith("_")
        assert getattr(module, each) is not None


@pytest.mark.parametrize("name", kertl.__all__)
def test_a_public_name_is_found_where_it_is_said_to_be(name):
    value = getattr(kertl, name)
    if name != "__version__":
        assert kertl.__getattr__(name) is value  # also where nothing has imported it before
    if name in kertl._HOMES:
        home = importlib.import_module(f"kertl.{kertl._HOMES[name]}")
        assert value is getattr(home, name)
        assert name in getattr(home, "__all__", [name])
    elif name in kertl._MODULES:
        assert inspect.ismodule(value)
        assert value.__name__ == f"kertl.{name}"


def test_dir_shows_each_public_name_once_and_nothing_else():
    shown = dir(kertl)
    assert shown == sorted(set(kertl.__all__))
    assert "Any" not in shown
    assert "importlib" not in shown
    assert {"features", "probes", "studies", "evaluation", "range_test", "training"} <= set(shown)


def test_the_imports_for_type_checkers_are_those_of_the_tables():
    tree = ast.parse(Path(kertl.__file__).read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and "not" not in ast.unparse(node.test))
    found = [(node.module, alias.name, alias.asname) for node in block.body for alias in node.names]
    homes = [(f"kertl.{home}", name, name) for name, home in kertl._HOMES.items()]
    assert sorted(found) == sorted(homes + [("kertl", name, name) for name in kertl._MODULES])


def test_an_unknown_name_is_an_error_that_names_it():
    with pytest.raises(AttributeError, match="'fine_tun'"):
        kertl.fine_tun  # noqa: B018


def test_importing_kertl_imports_neither_keras_nor_tensorflow():
    code = "import sys, kertl; dir(kertl); sys.exit(sum(name in sys.modules for name in ('keras', 'tensorflow')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_version_that_is_cited_is_the_released_one():
    assert f"\nversion: {kertl.__version__}\n" in (REPOSITORY / "CITATION.cff").read_text()


def test_public_names_and_signatures_are_those_on_record():
    hint = "A change for users: note it in CHANGELOG.md, then run `python -m tests.public_api`."
    recorded = FILE.read_text(encoding="utf-8").splitlines()
    assert described().splitlines() == recorded, hint

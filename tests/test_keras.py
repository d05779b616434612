"""The private names of Keras, TensorFlow and KerasTuner: all there, and all in one place."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import keras
import pytest

import kertl
from kertl import _keras
from kertl._keras import PRIVATE_NAMES, PrivateName, gone

ROOT = Path(kertl.__file__).parent
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != Path(_keras.__file__)]
NAMES = {one.name for one in PRIVATE_NAMES}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def own_names(tree):
    """What a file itself defines, or gives its own objects."""
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    own |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    attributes = (node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    return own | {node.attr for node in attributes if ast.unparse(node.value) in ("self", "cls")}


def of_others(path):
    """The private names of other packages that a file uses, beside those that its classes inherit."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            on = ast.unparse(node.value)
            inherited = on in ("self", "cls") or on.startswith("super(")
            if not inherited and not node.attr.startswith("_kertl") and node.attr not in own_names(tree):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            modules = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            if any(".src" in module or "tensorflow.python" in module for module in modules):
                yield f"{node.lineno}: {ast.unparse(node)}"
        elif isinstance(node, ast.Constant) and is_private(str(node.value)) and node.value in NAMES:
            yield f"{node.lineno}: {node.value!r}"


@pytest.mark.parametrize("one", PRIVATE_NAMES, ids=lambda one: one.name)
def test_the_installed_versions_have_the_name(one):
    assert gone((one,)) == []


def test_a_name_that_is_gone_is_said_with_what_it_is_for():
    made_up = (
        PrivateName("_no_such_thing", lambda: keras.Model, "a test"),
        PrivateName("_layers", lambda: importlib.import_module("keras.src.no_such_module"), "another"),
    )
    assert gone(made_up) == ["_no_such_thing (a test)", "_layers (another)"]
    assert gone() == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_private_names_of_others_are_used_in_one_place(path):
    assert list(of_others(path)) == []


def test_what_is_used_in_that_place_is_in_the_table():
    tree = ast.parse(Path(_keras.__file__).read_text())
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)}
    assert used <= NAMES


def test_what_classes_override_of_others_is_in_the_table():
    modules = [importlib.import_module(one.name) for one in pkgutil.walk_packages(kertl.__path__, "kertl.")]
    kinds = {each for module in modules for each in vars(module).values() if inspect.isclass(each)}
    overridden = {
        name
        for kind in kinds
        if kind.__module__.startswith("kertl.")
        for name, value in vars(kind).items()
        if is_private(name) and (inspect.isfunction(value) or isinstance(value, property))
        for base in kind.__mro__
        if not base.__module__.startswith("kertl") and name in vars(base)
    }
    assert "_is_improvement" in overridden
    assert overridden <= NAMES


def test_what_classes_inherit_of_others_is_in_the_table():
    trees = [ast.parse(path.read_text()) for path in FILES]
    own = set().union(*map(own_names, trees))
    inherited = {
        node.attr
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and is_private(node.attr) and ast.unparse(node.value) in ("self", "cls")
    } - own
    assert "_get_trial_dir" in inherited
    assert inherited <= NAMES


def test_layers_inside_are_those_of_nested_models_too():
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="inside")])
    outer = keras.Sequential([keras.Input((2,)), inner])
    assert "inside" in [layer.name for layer in _keras.layers_inside(outer)]
    assert _keras.functional_inside(outer) is not None
    assert _keras.functional_inside(inner.layers[0]) is None
    assert _keras.call_of(inner.outputs[0]).operation.name == "inside"


def test_the_rate_and_the_averages_of_an_optimizer_are_variables():
    variable = keras.Variable([2.0])
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.5)
    optimizer.build([variable])
    for _ in range(2):
        optimizer.apply([keras.ops.convert_to_tensor([1.0])])
    ((trained, average),) = _keras.averages(optimizer)
    assert trained is variable
    assert float(keras.ops.squeeze(average)) == pytest.approx((1.5 + 1.0) / 2)
    assert int(_keras.steps_taken(optimizer)) == 2
    assert float(_keras.learning_rate_of(optimizer)) == 0.5
    optimizer.exclude_from_weight_decay(var_list=[variable])
    assert not _keras.is_decayed(optimizer, variable)

import importlib.util
import json
import subprocess

import pytest

import kertl
from kertl.errors import KertlError
from kertl.tpu import Compilation, CompiledStage, _lower, _process, compile_for_tpu, compile_here
from tests.messages import assert_names
from tests.runs import quick, recipe

BUILD = {"backbone": "MobileNetV2", "num_classes": 2, "input_shape": (96, 96, 3)}
HLO = """
  %all-reduce.1 = f32[64]{0} all-reduce(%add.1), replica_groups={{0,1,2,3}}
  %all-reduce-start = (f32[8]) all-reduce-start(%add.2)
  %done = f32[8] all-reduce-done(%all-reduce-start)
  %gather = f32[8] all-gather(%x), dimensions={0}
"""
STABLEHLO = """
  %1 = stablehlo.convolution(%0, %arg1) dim_numbers = [b, 0, 1, f]x[0, 1, i, o] : (tensor<8x9x9x3xbf16>, x)
  %2 = stablehlo.dot_general %1, %arg2, contracting_dims = [1] x [0] : (tensor<8x3xf32>, tensor<3x2xf32>) -> x
  %3 = stablehlo.add %1, %2 : tensor<8x3xf32>
"""


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def found():
    stage = CompiledStage(0, "deep", 2562, {"all-reduce": 1}, 1.5, 0.25, {"bf16": 52, "f32": 1}, 12.0)
    return Compilation("v5e:2x2", 4, 128, "mixed_bfloat16", "m", (stage,), ("Stage 2 is solved on the host.",))


def test_the_table_says_what_was_compiled_and_that_it_was_not_run():
    table = found().table()
    assert_names(table, "v5e:2x2", "4 chips", "not run", "2,562", "1 all-reduce", "52 bf16, 1 f32", "on the host")
    assert Compilation.from_json(found().to_json()) == found()


def test_collectives_and_products_are_counted_once_each():
    assert _lower._COLLECTIVES.findall(HLO) == ["all-reduce", "all-reduce", "all-gather"]
    assert _lower._MATMULS.findall(STABLEHLO) == ["bf16", "f32"]


def test_a_rest_is_another_program():
    assert_names(_lower._rest(0, 5, 4), "stage 1", "5 images", "compiled again", "does not divide over 4 chips")
    assert "does not divide" not in _lower._rest(0, 8, 4)


def test_another_backend_than_jax_is_refused(monkeypatch):
    monkeypatch.setattr(_lower.keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(RuntimeError, match="`KERAS_BACKEND` must be jax"):
        compile_here(None, recipe("deep"), "v5e:2x2", 8)


def test_missing_packages_are_named_with_the_command(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "libtpu" else object())
    with pytest.raises(ModuleNotFoundError, match=r"needs libtpu: pip install 'kertl\[tpu-compile\]'"):
        compile_for_tpu(recipe("deep"), build=BUILD)


@pytest.mark.usefixtures("installed")
def test_what_cannot_be_compiled_is_refused_before_a_process_begins(tmp_path):
    with pytest.raises(ValueError, match="`build` must be"):
        compile_for_tpu(recipe("deep"))
    with pytest.raises(ValueError, match=r"without recipe.json, model.keras, data.json"):
        compile_for_tpu(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_run_directory_says_what_its_batches_are(tmp_path, monkeypatch):
    (tmp_path / "recipe.json").write_text(recipe("deep").to_json())
    (tmp_path / "model.keras").write_bytes(b"")
    (tmp_path / "data.json").write_text('{"batch_size": 12}')
    rows = ['"a,train.png",x,train,1', "b.png,x,validation,2", "c.png,y,train,3"]
    (tmp_path / "data.csv").write_text("\n".join(["file,label,split,sha256", *rows]))
    asked = []

    def run(command, **options):
        asked.append((json.loads(options["input"]), options["env"]))
        return subprocess.CompletedProcess(command, 0, f"noise\n{json.dumps(found().to_dict())}\n", "")

    monkeypatch.setattr(_process.subprocess, "run", run)
    assert compile_for_tpu(tmp_path, "v6e:2x2") == found()
    ((told, environment),) = asked
    assert (told["batch_size"], told["images"], told["topology"]) == (12, 2, "v6e:2x2")
    assert environment["KERAS_BACKEND"] == "jax"


@pytest.mark.usefixtures("installed")
def test_what_the_compiler_says_reaches_the_user(monkeypatch):
    def answering(status, out, errors):
        done = subprocess.CompletedProcess([], status, out, errors)
        monkeypatch.setattr(_process.subprocess, "run", lambda command, **options: done)

    answering(1, "", "WARNING: no\nTraceback\nXlaRuntimeError: too large for HBM")
    with pytest.raises(KertlError, match=r"(?s)does not compile for v5e:2x2.*too large for HBM"):
        compile_for_tpu(recipe("deep"), build=BUILD)
    answering(0, '{"wrong": "`batch_size` must be a multiple of the 4 chips"}\n', "")
    with pytest.raises(ValueError, match="multiple of the 4 chips"):
        compile_for_tpu(recipe("deep"), build=BUILD)


@pytest.mark.slow
def test_a_frozen_mobilenet_compiles_for_four_chips():
    pytest.importorskip("libtpu")
    stages = kertl.Recipe(stages=[quick("deep", augment="light"), kertl.Stage("deep", solver="exact")])
    one = compile_for_tpu(stages, build=BUILD, batch_size=32)
    assert one.chips == 4
    (stage,) = one.stages
    assert stage.collectives["all-reduce"] >= 1
    assert stage.matmuls["bf16"] > 40
    assert stage.gflops > 0.1
    assert any("Stage 2 is solved on the host" in note for note in one.notes)
    with pytest.raises(ValueError, match="`batch_size` must be a multiple of the 4 chips"):
        compile_for_tpu(stages, build=BUILD, batch_size=30)
    with pytest.raises(ValueError, match="`topology` must be one that libtpu knows"):
        compile_for_tpu(stages, "v5e:7x7", build=BUILD)

"""Lowering and compiling the training steps of a recipe for the chips of a TPU topology; on the JAX backend only.

The step is `train_step` of the model that `kertl.fine_tune` fits on images: batches are spread over the chips, weights
and optimizer state are on each.
"""

import dataclasses
import re
import time
from collections import Counter
from typing import Any

import keras
import numpy as np

from kertl._checks import complain
from kertl._keras import build_symbolically
from kertl.errors import SetupError
from kertl.model import flags_kept, model_info
from kertl.recipe import Recipe, Stage
from kertl.tasks import task_named
from kertl.tpu._result import Compilation, CompiledStage
from kertl.training import Learner, StageFit, factors_added, usual_stage

_COLLECTIVES = re.compile(r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
_MATMULS = re.compile(r"stablehlo\.(?:convolution|dot_general)\b.*?: \(tensor<[^>]*?(bf16|f32|f16)>")


def compile_here(
    model: keras.Model,
    recipe: Recipe,
    topology: str,
    batch_size: int,
    *,
    images: int | None = None,
    precision: str = "mixed_bfloat16",
) -> Compilation:
    """Compile every stage of a recipe for a TPU topology, in this process.

    Args:
        model: The model.
        recipe: The stages. A rate of "auto" stands for that of the named recipes.
        topology: As libtpu names it: "v5e:2x2", "v6e:2x2".
        batch_size: Images per step, of all chips together; a multiple of their number.
        images: Training images, to tell whether batches have a rest; None if not known.
        precision: As in `kertl.Recipe`.

    Raises:
        ValueError: If the batch does not divide over the chips, or libtpu knows no such topology.
        RuntimeError: If the backend is not JAX.
    """
    if keras.backend.backend() != "jax":
        raise SetupError(f"`KERAS_BACKEND` must be jax for a TPU. Received: {keras.backend.backend()!r}.")
    devices = _devices(topology)
    learner = Learner.of(model, info.task if (info := model_info(model)) else "single_label")
    stages, notes = [], []
    with flags_kept(model):
        for number, stage in enumerate(recipe.stages):
            if stage.solver == "exact":
                notes.append(f"Stage {number + 1} is solved on the host, without steps of training.")
                continue
            size = batch_size if stage.batch_size in (None, "full") else int(stage.batch_size)
            if size % len(devices):
                raise complain("batch_size", f"a multiple of the {len(devices)} chips of {topology}", size)
            if images is not None and images % size:
                notes.append(_rest(number, images % size, len(devices)))
            with factors_added(learner.chain, stage, recipe.seed):
                stages.append(_compiled(learner, stage, number, devices, size, precision))
    return Compilation(topology, len(devices), batch_size, precision, model.name, tuple(stages), tuple(notes))


def _devices(topology: str) -> list[Any]:
    """The chips of a topology that need not be there.

    Raises:
        ValueError: If libtpu knows no such topology.
    """
    from jax.experimental import topologies

    try:
        return list(topologies.get_topology_desc(platform="tpu", topology_name=topology).devices)
    except Exception as error:
        advice = f"Such as 'v5e:2x2', 'v5e:4x4' or 'v6e:2x2'. libtpu says: {str(error).splitlines()[0]}"
        raise complain("topology", "one that libtpu knows", topology, advice) from error


def _compiled(
    learner: Learner, stage: Stage, number: int, devices: list[Any], batch_size: int, precision: str
) -> CompiledStage:
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    learner = learner.at_size(stage.image_size)
    if stage.learning_rate == "auto":
        stage = dataclasses.replace(stage, learning_rate=usual_stage(learner.chain, stage.at).peak)
    fit = StageFit(learner, stage, total_steps=1000, on_features=False, precision=precision)
    batch = _batch(learner, batch_size)
    with fit.training({}):
        build_symbolically(fit.model, batch)
        fit.model.optimizer.build(fit.model.trainable_variables)
        mesh = Mesh(np.array(devices), ("batch",))
        whole, spread = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("batch",)))
        state = tuple(
            [jax.ShapeDtypeStruct(variable.shape, variable.dtype, sharding=whole) for variable in variables]
            for variables in (
                fit.model.trainable_variables,
                fit.model.non_trainable_variables,
                fit.model.optimizer.variables,
                fit.model.metrics_variables,
            )
        )
        data = tuple(jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=spread) for array in batch)
        out = (None, jax.tree.map(lambda _: whole, state))
        begun = time.monotonic()
        lowered = jax.jit(fit.model.train_step, donate_argnums=0, out_shardings=out).lower(state, data)
        compiled = lowered.compile()
    cost = compiled.cost_analysis()
    cost = cost[0] if isinstance(cost, list) else cost
    return CompiledStage(
        number,
        stage.at,
        sum(int(np.prod(variable.shape)) for variable in fit.model.trainable_variables),
        dict(Counter(_COLLECTIVES.findall(compiled.as_text()))),
        cost.get("flops", 0.0) / 1e9,
        cost.get("bytes accessed", 0.0) / 1e9,
        dict(Counter(_MATMULS.findall(lowered.as_text()))),
        time.monotonic() - begun,
    )


def _batch(learner: Learner, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """A batch as `kertl.data` gives it, of nothing."""
    graph, outputs = learner.chain.graph, learner.model.output_shape[-1]
    height, width, channels = (int(side or 224) for side in graph.shapes[graph.input])
    images = np.zeros((batch_size, height, width, channels), "uint8")
    if learner.task == task_named("single_label"):
        return images, np.zeros((batch_size,), "int32")
    return images, np.zeros((batch_size, outputs), "float32")


def _rest(number: int, left: int, chips: int) -> str:
    spread = "" if left % chips == 0 else f", and does not divide over {chips} chips"
    return (
        f"The last batch of an epoch of stage {number + 1} has {left} images: another shape, which is compiled "
        f"again{spread}. A batch size that divides the number of images avoids it."
    )

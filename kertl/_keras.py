"""The one place for private names of Keras, TensorFlow and KerasTuner: a function for each, which says what it is for.

They may change in any version. `PRIVATE_NAMES` lists them all, including those that kertl's subclasses override, and
`gone` says which of them the installed versions lack.
"""

import importlib
import re
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

CHECKPOINT_STATE = ("_batches_seen_since_last_saving", "_last_batch_seen")
"""What Keras' `ModelCheckpoint` remembers from batch to batch, besides its public `best`."""
NO_MOMENTS = ("_accumulated_gradients", "_trainable_variables", "_variables")
"""Lists of an optimizer with an item per trained variable, or by chance as many, that are not its moments."""

STEPS = "_iterations"
"""The attribute of an optimizer that its step count is read from."""
MOMENTUM_PRODUCT = "_u_product"
"""The attribute of Nadam with the product of its momenta so far, one for all variables."""


def layers_inside(layer: Any) -> list[Any]:
    """A layer or model and all layers inside it, nested ones too; `Model.layers` only has the outermost."""
    return list(layer._flatten_layers())


def kept_beside(model: Any, name: str, key: Any, make: Callable[[], Any]) -> Any:
    """What `make` gives, made once for a model and a key, and freed with the model.

    It is not an attribute that Keras sees: it would be saved as a part of the model. Names with two underscores in
    front are skipped by Keras' saving.
    """
    kept = vars(model).get(f"__kertl_{name}")
    if kept is None or kept[0] != key:
        kept = vars(model)[f"__kertl_{name}"] = (key, make())
    return kept[1]


def seed_generators(layer: Any) -> list[Any]:
    """The seed generators that a layer itself holds; their states decide what dropout and augmentation draw."""
    return list(layer._seed_generators)


def call_of(tensor: Any) -> Any:
    """The call (a node of the graph) that gave a symbolic tensor: its `operation`, `arguments`, `input_tensors`."""
    history = tensor._keras_history
    return history.operation._inbound_nodes[history.node_index]


def functional_inside(operation: Any) -> Any:
    """The functional model that a sequential or functional one is; None for any other layer or operation."""
    if isinstance(operation, keras.Sequential):
        return operation._functional
    return operation if isinstance(operation, keras.Model) and hasattr(operation, "_nodes_by_depth") else None


def kernel_alone(layer: Any) -> Any:
    """The variable of a layer's kernel; its public `kernel` has low-rank factors added, if there are any."""
    return layer._kernel


def oracle_client(oracle: Any) -> Any:
    """KerasTuner's client of the chief that KERASTUNER_ORACLE_IP and KERASTUNER_ORACLE_PORT name."""
    from keras_tuner.src.distribute.oracle_client import OracleClient

    return OracleClient(oracle)


def learning_rate_of(optimizer: Any) -> Any:
    """The variable or the schedule of an optimizer's learning rate; its public `learning_rate` is the current value."""
    return optimizer._learning_rate


def put_learning_rate(optimizer: Any, rate: Any) -> None:
    """Let a variable be the rate, also instead of a schedule, which the public attribute refuses."""
    optimizer._learning_rate = rate


def steps_taken(optimizer: Any) -> Any:
    """The variable that counts every step, which the public `iterations` divides where gradients accumulate."""
    return optimizer._iterations


def trained_count(optimizer: Any) -> int:
    """How many variables an optimizer was built for."""
    return len(optimizer._trainable_variables)


def place_of(optimizer: Any, variable: Any) -> int:
    """The index of a variable among those that an optimizer was built for."""
    return int(optimizer._get_variable_index(variable))


def averages(optimizer: Any) -> Iterator[tuple[Any, Any]]:
    """Each trained variable of an optimizer with `use_ema`, and the moving average of it."""
    return zip(optimizer._trainable_variables, optimizer._model_variables_moving_average, strict=True)


def is_decayed(optimizer: Any, variable: Any) -> bool:
    """Whether weight decay applies to a variable, after `exclude_from_weight_decay`."""
    return bool(optimizer._use_weight_decay(variable))


def steps_all_at_once(kind: type) -> bool:
    """Whether a class of optimizers is one of Keras' for PyTorch, which never call `update_step`."""
    return hasattr(kind, "_parallel_update_step")


def build_symbolically(model: Any, batch: Any) -> None:
    """Let a compiled model make the variables of its metrics for a batch, without computing anything."""
    model._symbolic_build(data_batch=batch)


def loss_tracker(model: Any) -> Any:
    """The metric in which a model keeps the mean of its losses."""
    return model._loss_tracker


def after_batch(model: Any, metrics: Any, loss: Any, x: Any, y: Any, said: Any, weight: Any) -> Any:
    """The values of a model's metrics after a batch, on JAX."""
    return model._update_metrics_variables(metrics, loss, x, y, said, weight)[1]


def say_variables_are_current(model: Any) -> None:
    """Tell JAX's trainer that the variables are current; else a `fit` that raises overwrites them."""
    if hasattr(model, "_jax_state_synced"):
        model._jax_state_synced = True


def global_seed_state() -> Any:
    """The state of the generator that Keras draws from where no seed is given; None if there is none yet."""
    from keras.src.backend.common import global_state

    generator = global_state.get_global_attribute("global_seed_generator")
    return None if generator is None else generator.state


def with_constants(concrete_function: Any) -> Any:
    """A concrete function of TensorFlow with its variables as constants, as graph converters need it."""
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    return convert_variables_to_constants_v2(concrete_function, lower_control_flow=False)


def gradient_registry() -> dict[str, Any]:
    """TensorFlow's custom gradients by name, to be changed; each holds its traced graph, weights and all, for good."""
    from tensorflow.python.framework.ops import gradient_registry as registry

    return registry._registry


@dataclass(frozen=True)
class PrivateName:
    """A private name that kertl uses or overrides."""

    name: str
    """The attribute."""
    owner: Callable[[], Any]
    """Gives the class, object or module that has it."""
    purpose: str
    """What for."""


def gone(names: tuple[PrivateName, ...] | None = None) -> list[str]:
    """The private names that the installed versions lack, each with its purpose.

    Args:
        names: Which to look for; all by default.
    """
    missing = []
    for one in PRIVATE_NAMES if names is None else names:
        try:
            found = hasattr(one.owner(), one.name)
        except (AttributeError, ImportError, OSError):  # what should have it no longer exists
            found = False
        if not found:
            missing.append(f"{one.name} ({one.purpose})")
    return missing


def _model() -> Any:
    return keras.Sequential([keras.Input((1,)), keras.layers.Dropout(0.5)])


def _dense() -> Any:
    made = keras.layers.Dense(1)
    made.build((None, 1))
    return made


def _optimizer() -> Any:
    made = keras.optimizers.SGD(use_ema=True, gradient_accumulation_steps=2)
    made.build([keras.Variable([1.0])])
    return made


def _nadam() -> Any:
    made = keras.optimizers.Nadam()
    made.build([keras.Variable([1.0])])
    return made


def _tuner(name: str) -> Callable[[], Any]:
    """A class of KerasTuner, or an oracle of that class."""

    def found() -> Any:
        import keras_tuner

        if name.endswith("Oracle") and name != "Oracle":
            return getattr(keras_tuner.oracles, name)(objective="val_loss")
        return getattr(keras_tuner, name)

    return found


def _in_source(path: str) -> Callable[[], Any]:
    """The names that a file of Keras gives its objects, for a backend that need not be installed."""

    def found() -> Any:
        text = Path(keras.__file__).parent.joinpath("src", path).read_text(encoding="utf-8")
        return types.SimpleNamespace(**dict.fromkeys(re.findall(r"(?:self\.|def )(\w+)", text)))

    return found


def _module(name: str) -> Callable[[], Any]:
    return lambda: importlib.import_module(name)


SEVERAL_WORKERS = (
    PrivateName("_maybe_symbolic_build", lambda: keras.Model, "overridden so that several workers can `fit`"),
)
"""What training on several workers of TensorFlow builds on."""

PRIVATE_NAMES: tuple[PrivateName, ...] = (
    PrivateName("_flatten_layers", lambda: keras.layers.Layer, "the layers inside a layer"),
    PrivateName("_seed_generators", lambda: keras.layers.Dropout(0.5), "what a layer draws from"),
    PrivateName("_kernel", _dense, "a kernel without its low-rank factors"),
    PrivateName("_keras_history", lambda: keras.Input((1,)), "the call that gave a symbolic tensor"),
    PrivateName("_inbound_nodes", lambda: keras.layers.Dense(1), "the calls of a layer"),
    PrivateName("_functional", _model, "the graph of a sequential model"),
    PrivateName("_nodes_by_depth", lambda: _model()._functional, "what tells a functional model"),
    PrivateName("train_function", _model, "the compiled step, replaced by a loop over an epoch"),
    PrivateName("make_train_function", _model, "the compiled step made anew"),
    *SEVERAL_WORKERS,
    PrivateName("_symbolic_build", lambda: keras.Model, "metrics with variables before any step"),
    PrivateName("_jax_state_synced", _in_source("backend/jax/trainer.py"), "whether JAX's variables are current"),
    PrivateName("_loss_tracker", _in_source("trainers/trainer.py"), "the mean of the losses of a batch in parts"),
    PrivateName("_update_metrics_variables", _in_source("backend/jax/trainer.py"), "JAX's metrics of a batch in parts"),
    PrivateName("_learning_rate", _optimizer, "the rate's variable or schedule"),
    PrivateName("_iterations", _optimizer, "the count of all steps"),
    PrivateName("_u_product", _nadam, "the bias correction of Nadam's moments"),
    PrivateName("_trainable_variables", _optimizer, "what an optimizer trains"),
    PrivateName("_variables", _optimizer, "a list that holds no moments"),
    PrivateName("_accumulated_gradients", _optimizer, "a list that holds no moments"),
    PrivateName("_model_variables_moving_average", _optimizer, "the averages of `use_ema`"),
    PrivateName("_use_weight_decay", _optimizer, "which variables decay; overridden for a rate per group"),
    PrivateName("_apply_weight_decay", _optimizer, "overridden for a rate per group"),
    PrivateName("_get_current_learning_rate", _optimizer, "overridden for a rate per group"),
    PrivateName("_get_variable_index", _optimizer, "the index of a variable among those that train"),
    PrivateName(
        "_parallel_update_step", _in_source("backend/torch/optimizers/torch_adam.py"), "Keras' classes for PyTorch"
    ),
    PrivateName("_is_improvement", lambda: keras.callbacks.EarlyStopping, "overridden so that NaN is never best"),
    *(
        PrivateName(name, lambda: keras.callbacks.ModelCheckpoint("m.keras"), "the state of a ModelCheckpoint")
        for name in CHECKPOINT_STATE
    ),
    PrivateName("get_global_attribute", _module("keras.src.backend.common.global_state"), "the global generator"),
    PrivateName(
        "convert_variables_to_constants_v2",
        _module("tensorflow.python.framework.convert_to_constants"),
        "a graph for OpenVINO",
    ),
    PrivateName(
        "_registry",
        lambda: importlib.import_module("tensorflow.python.framework.ops").gradient_registry,
        "releasing traced graphs",
    ),
    PrivateName("OracleClient", _module("keras_tuner.src.distribute.oracle_client"), "asking a chief"),
    PrivateName("_project_dir", _tuner("Oracle"), "the folder of a search"),
    PrivateName("_get_oracle_fname", _tuner("Oracle"), "the file of an oracle"),
    PrivateName("_get_trial_dir", _tuner("Oracle"), "the folder of a trial"),
    PrivateName("_build_hypermodel", _tuner("Hyperband"), "overridden so that a checkpoint is checked first"),
    PrivateName("_get_checkpoint_fname", _tuner("Hyperband"), "the file of a trial's weights"),
    PrivateName("_save_trial", _tuner("Oracle"), "overridden so that files are replaced as a whole"),
    PrivateName("_random_values", _tuner("Oracle"), "overridden so that the seed decides"),
    PrivateName("_check_consecutive_failures", _tuner("Oracle"), "overridden so that it does not raise"),
    PrivateName("_compute_values_hash", _tuner("Oracle"), "the state of an oracle whose file is damaged"),
    PrivateName("_seed_state", _tuner("RandomSearchOracle"), "set so that the seed decides"),
    PrivateName("_retry_queue", _tuner("RandomSearchOracle"), "the trials to train again"),
    PrivateName("_run_times", _tuner("RandomSearchOracle"), "how often a trial was tried"),
    PrivateName("_compare", _tuner("GridSearchOracle"), "the order of the grid"),
    PrivateName("_ordered_ids", _tuner("GridSearchOracle"), "the position in the grid"),
    PrivateName("_populate_next", _tuner("GridSearchOracle"), "the position in the grid"),
    PrivateName("_random_state", _tuner("BayesianOptimizationOracle"), "set so that the seed decides"),
    PrivateName("_brackets", _tuner("HyperbandOracle"), "the trials that are still trained on"),
    PrivateName("_populate_initial_space", _tuner("Tuner"), "overridden so that no model is built for it"),
    PrivateName("_try_run_and_update_trial", _tuner("Tuner"), "overridden to keep tracebacks off the terminal"),
    PrivateName("_run_and_update_trial", _tuner("Tuner"), "the training of a trial"),
    PrivateName("_get_tuner_fname", _tuner("Tuner"), "the file of a tuner"),
    PrivateName("_is_worker", _tuner("Tuner"), "which process writes"),
    PrivateName("_configure_tensorboard_dir", _tuner("Tuner"), "overridden so that TensorFlow is not needed"),
)
"""All private names that kertl uses or overrides."""

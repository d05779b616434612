"""A borrowed model: whatever is trained with it, it is restored afterwards, bit for bit, from memory."""

import random

import keras
import numpy as np

from kertl._checks import complain
from kertl._keras import global_seed_state, layers_inside, say_variables_are_current
from kertl.hardware import scope_of
from kertl.range_test._rates import Rates

# Of a model, what `fit` sets.
_ATTRIBUTES = ("history", "stop_training", "train_function")


class Borrowed:
    """What training changes in a compiled model, kept to be restored.

    That is the values of all variables of model, metrics and optimizer, the learning rate or its schedule, the compiled
    training step, the history, and the random state of Python, numpy and Keras. An optimizer that is not built yet is
    built, with its initial values.

    Attributes:
        rates: The learning rates of the optimizer, to be set.

    Args:
        model: The model; compiled and built.

    Raises:
        ValueError: If it is not both.
    """

    def __init__(self, model: keras.Model) -> None:
        if not model.compiled or not all(layer.built for layer in layers_inside(model)):
            advice = "Call `compile`, and the model once on a batch of inputs."
            raise complain("model", "compiled and built", model.name, advice)
        self._model = model
        self._random = random.getstate(), np.random.get_state()  # noqa: NPY002, other code may draw from it
        with scope_of(model):
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
            seed = global_seed_state()
            variables += [] if seed is None else [seed]
            once = {id(variable): variable for variable in variables}.values()
            self._values = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in once]
            self._attributes = {name: getattr(model, name) for name in _ATTRIBUTES if hasattr(model, name)}
            self.rates = Rates(model.optimizer)
        if self.rates.replaced:
            model.train_function = None  # the old one has the schedule in it

    def reset(self) -> None:
        """Restore the values of the variables."""
        say_variables_are_current(self._model)
        self._model.reset_metrics()  # also those that were not built before
        for variable, value in self._values:
            variable.assign(value)

    def give_back(self) -> None:
        """Restore everything."""
        self.reset()
        self.rates.give_back()
        for name in _ATTRIBUTES:
            if name in self._attributes:
                setattr(self._model, name, self._attributes[name])
            elif hasattr(self._model, name):
                delattr(self._model, name)
        python, numpy = self._random
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002

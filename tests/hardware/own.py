"""A `fit` of one's own on one and on two virtual devices: `KERAS_BACKEND=... python -m tests.hardware.own`.

Prints a JSON object: for each optimizer how far apart losses and weights are at most, or what refused two devices.
"""

import json
import logging

import keras
import numpy as np

import kertl
from kertl import hardware
from tests.hardware.recipes import apart
from tests.hardware.several import still
from tests.runs import classifier, squares, values

OPTIONS = {
    "plain": {},
    "clipnorm": {"clipnorm": 0.02},
    "global_clipnorm": {"global_clipnorm": 0.05},
    "gradient_accumulation_steps": {"gradient_accumulation_steps": 2},
}


def fitted(name, devices):
    with hardware.setup("cpu", devices=devices):
        model = classifier(1, still, dropout=0.0, batch_norm=False)
        stage = kertl.stage_model(model, at="mid")
        plain = keras.optimizers.SGD(0.05, momentum=0.9, **OPTIONS[name])
        variables = stage.trainable_variables
        try:
            grouped = kertl.optimizers.discriminative(plain, model, rates=(0.001, 0.05), variables=variables)
        except ValueError as error:
            return str(error)
        stage.compile(grouped, "sparse_categorical_crossentropy")
        images, labels = (np.concatenate(parts) for parts in zip(*squares().train, strict=True))
        history = stage.fit(images, labels, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        return [np.array(history["loss"]), *values(model.weights)]


def main():
    logging.disable(logging.WARNING)
    two = {name: fitted(name, 2) for name in OPTIONS}  # first, since devices are made once
    print(json.dumps({name: apart(fitted(name, 1), two[name]) for name in OPTIONS}))


if __name__ == "__main__":
    main()

"""The photos of solar cells, and the pretrained network that the benchmarks train on them."""

import tempfile
from pathlib import Path

import keras

import kertl
import kertl.demo


def data(seed=0, size=160, **options):
    """A quarter for the test, 15 % for validation, stratified by probability of a defect and type of cell."""
    with tempfile.TemporaryDirectory() as folder:
        table = kertl.demo.write_table(kertl.demo.fetch_photos(), Path(folder) / "cells.csv")
        return kertl.data.from_csv(
            table,
            stratify_columns=("probability", "type"),
            root=kertl.demo.fetch_photos(),
            image_size=(size, size),
            validation=0.15,
            test=0.25,
            seed=seed,
            **options,
        )


def model(classes, seed=0, size=160, backbone=None, **head):
    """A new head on the MobileNetV2 of `kertl demo`, or on another backbone."""
    keras.utils.set_random_seed(seed)
    if backbone is None:
        backbone = kertl.load_backbone(kertl.demo.fetch_weights(), preprocessing="tf", input_shape=(size, size, 3))
    return kertl.build(backbone, class_names=classes, head=kertl.Head(**head))

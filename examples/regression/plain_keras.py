"""The same job as train.py, in plain Keras, on the pictures that it has drawn.

python plain_keras.py [--pictures runs/regression/pictures] [--epochs 15]
"""

import argparse
import csv
from pathlib import Path

import keras
import numpy as np
from train import SIDE, TARGETS, small_backbone


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, default=Path("runs/regression/pictures"))
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    # No check of files or numbers; the split is random and not stratified by the targets.
    with (options.pictures / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = [options.pictures / row["file"] for row in rows]
    x = np.stack([keras.utils.img_to_array(keras.utils.load_img(file, target_size=(SIDE, SIDE))) for file in files])
    y = np.array([[float(row[name]) for name in TARGETS] for row in rows], "float32")
    order = np.random.default_rng(0).permutation(len(x))
    train, validation, test = np.split(order, [int(0.7 * len(x)), int(0.85 * len(x))])

    # Lumen in the thousands and shares of a tenth in one mean squared error: the shares would count for nothing, and
    # the head's first predictions would be thousands away. So the targets are standardised by hand ...
    mean, spread = y[train].mean(axis=0), y[train].std(axis=0)
    backbone = small_backbone()
    inputs = keras.Input((SIDE, SIDE, 3))
    standardised = keras.layers.Dense(len(TARGETS))(keras.layers.GlobalAveragePooling2D()(backbone(inputs)))
    model = keras.Model(inputs, standardised)
    steps = -(-len(train) // 32) * options.epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-3 / 25, steps, warmup_target=3e-3, warmup_steps=steps * 3 // 10
    )
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), "mse")
    best = keras.callbacks.EarlyStopping(patience=options.epochs, restore_best_weights=True)
    scaled = (y - mean) / spread
    model.fit(
        x[train],
        scaled[train],
        validation_data=(x[validation], scaled[validation]),
        epochs=options.epochs,
        callbacks=[best],
        verbose=2,
    )

    # ... and converted back by whoever uses the model, or by one more layer that has to be added before saving.
    answers = model.predict(x[test], verbose=0) * spread + mean
    errors = ((answers - y[test]) ** 2).sum(axis=0) / ((y[test] - y[test].mean(axis=0)) ** 2).sum(axis=0)
    print(f"test R² {np.mean(1 - errors):.4f}")


if __name__ == "__main__":
    main()

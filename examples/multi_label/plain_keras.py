"""The same job as train.py, in plain Keras, on the pictures that it has drawn.

python plain_keras.py [--pictures runs/multi_label/pictures] [--epochs 12]
"""

import argparse
import csv
from pathlib import Path

import keras
import numpy as np
from sklearn.metrics import f1_score
from train import SHAPES, SIDE, small_backbone


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path, default=Path("runs/multi_label/pictures"))
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    # Labels to a matrix by hand; the split is random, so rare shapes may be missing where they are needed.
    with (options.pictures / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    files = [options.pictures / row["file"] for row in rows]
    x = np.stack([keras.utils.img_to_array(keras.utils.load_img(file, target_size=(SIDE, SIDE))) for file in files])
    y = np.array([[name in row["shapes"].split(";") for name in SHAPES] for row in rows], "float32")
    order = np.random.default_rng(0).permutation(len(x))
    train, validation, test = np.split(order, [int(0.7 * len(x)), int(0.85 * len(x))])

    inputs = keras.Input((SIDE, SIDE, 3))
    augmented = keras.layers.RandomBrightness(0.1, value_range=(0, 255))(keras.layers.RandomFlip("horizontal")(inputs))
    pooled = keras.layers.GlobalAveragePooling2D()(small_backbone()(augmented))
    answers = keras.layers.Dense(len(SHAPES), activation="sigmoid")(keras.layers.Dropout(0.3)(pooled))
    model = keras.Model(inputs, answers)
    steps = -(-len(train) // 32) * options.epochs
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-3 / 25, steps, warmup_target=3e-3, warmup_steps=steps * 3 // 10
    )
    loss = keras.losses.BinaryCrossentropy(label_smoothing=0.1)
    model.compile(keras.optimizers.AdamW(schedule, weight_decay=1e-4), loss)
    best = keras.callbacks.EarlyStopping(patience=options.epochs, restore_best_weights=True)
    held_out = (x[validation], y[validation])
    model.fit(x[train], y[train], validation_data=held_out, epochs=options.epochs, callbacks=[best], verbose=2)

    # A threshold per class, chosen on the validation set; the model's file has no place for them.
    found = model.predict(x[validation], verbose=0)
    grid = np.linspace(0.05, 0.95, 91)
    thresholds = [
        grid[np.argmax([f1_score(y[validation][:, k], found[:, k] >= level, zero_division=0) for level in grid])]
        for k in range(len(SHAPES))
    ]
    guesses = model.predict(x[test], verbose=0) >= thresholds
    print(f"test macro F1 {f1_score(y[test], guesses, average='macro', zero_division=0):.4f}")


if __name__ == "__main__":
    main()

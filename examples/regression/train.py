"""Reading two numbers off a picture: how large a disc is, and how bright.

python train.py [--pictures 800] [--epochs 15] [--backbone MobileNetV2] [--out runs/regression]
"""

import argparse
import csv
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

import kertl

SIDE = 48
TARGETS = ("lumen", "share")  # hundreds to thousands, and 0.02 to 0.2


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--backbone", help="for example MobileNetV2, with ImageNet weights; by default a small network")
    parser.add_argument("--out", type=Path, default=Path("runs/regression"))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    table = draw(options.out / "pictures", options.pictures)
    data = kertl.data.from_csv(table, task="regression", label_column=TARGETS, image_size=(SIDE, SIDE), cache="memory")
    print(data.summary())

    # The head learns standardised targets; a last layer without weights turns them into lumen and share.
    model = kertl.build(
        kertl.load_backbone(options.backbone or small_backbone(), input_shape=(SIDE, SIDE, 3)),
        class_names=data.class_names,
        task=data.task,
        target_scaling=data.target_scaling,
        head=kertl.Head(dropout=0.0),
    )
    # Brightness is the target, so pictures must not be brightened to vary them.
    stage = kertl.Stage("full", epochs=options.epochs, learning_rate=3e-3, batch_norm="train", augment="none")
    run = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=[stage]), run_dir=options.out / "run", verbose=2)

    test = run.metrics["test"]
    for name, row in test["targets"].items():
        print(f"{name:6} mean absolute error {row['mae']:.4g}, R² {row['r2']:.3f}")
    print(f"test R² {test['r2']:.4f}")


def draw(folder: Path, number: int) -> Path:
    """Pictures of a disc on noise, and labels.csv with the columns file, lumen and share."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", *TARGETS])
        for index in range(number):
            picture = Image.fromarray(random.integers(20, 60, (SIDE, SIDE, 3), dtype="uint8"))
            radius = float(random.uniform(4, 12))
            brightness = int(random.integers(90, 256))
            x, y = random.uniform(radius, SIDE - radius, 2)
            box = (x - radius, y - radius, x + radius, y + radius)
            ImageDraw.Draw(picture).ellipse(box, fill=(brightness,) * 3)
            picture.save(folder / f"{index:04d}.png")
            share = np.pi * radius**2 / SIDE**2
            table.writerow([f"{index:04d}.png", f"{10 * brightness}", f"{share:.5f}"])
    return folder / "labels.csv"


def small_backbone() -> keras.Model:
    """A small network with random weights, so that the example needs no download."""
    layers = [keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(1 / 127.5, -1)]
    for filters in (16, 32, 64):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    return keras.Sequential(layers, name="small")


if __name__ == "__main__":
    main()

"""Which shapes are in a picture: none, one or several of disc, square and cross.

python train.py [--pictures 600] [--epochs 12] [--backbone MobileNetV2] [--out runs/multi_label]
"""

import argparse
import csv
from pathlib import Path

import keras
import numpy as np
from PIL import Image, ImageDraw

import kertl

SIDE = 48
SHAPES = ("cross", "disc", "square")
CHANCES = (0.2, 0.5, 0.5)  # crosses are rare


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--backbone", help="for example MobileNetV2, with ImageNet weights; by default a small network")
    parser.add_argument("--out", type=Path, default=Path("runs/multi_label"))
    options = parser.parse_args()
    keras.utils.set_random_seed(0)

    # A table with one row per picture; an empty cell is a picture without any of the shapes.
    table = draw(options.out / "pictures", options.pictures)
    data = kertl.data.from_csv(
        table, task="multi_label", label_column="shapes", separator=";", image_size=(SIDE, SIDE), cache="memory"
    )
    print(data.summary())

    backbone = kertl.load_backbone(options.backbone or small_backbone(), input_shape=(SIDE, SIDE, 3))
    model = kertl.build(backbone, class_names=data.class_names, task=data.task)
    stages = [kertl.Stage("full", epochs=options.epochs, learning_rate=3e-3, batch_norm="train")]
    run = kertl.fine_tune(model, data, recipe=kertl.Recipe(stages=stages), run_dir=options.out / "run", verbose=2)

    # The thresholds were chosen on the validation set; the test set was not used.
    test = run.metrics["test"]
    for name, row in test["classes"].items():
        print(f"{name:8} F1 {row['f1']:.2f}, predicted from a probability of {test['thresholds'][name]:.2f} on")
    pictures = kertl.data.images(sorted(table.parent.glob("*.png"))[:3], image_size=(SIDE, SIDE))
    for file, answer in zip(pictures.files, kertl.answers(model, kertl.predict(model, pictures)), strict=True):
        print(Path(file).name, [label["class"] for label in answer["labels"]])
    print(f"test macro F1 {test['macro_f1']:.4f}")


def draw(folder: Path, number: int) -> Path:
    """Pictures of shapes on noise, and labels.csv with the columns file and shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "shapes"])
        for index in range(number):
            picture = Image.fromarray(random.integers(70, 130, (SIDE, SIDE, 3), dtype="uint8"))
            chosen = [name for name, chance in zip(SHAPES, CHANCES, strict=True) if random.random() < chance]
            for name in chosen:
                add(ImageDraw.Draw(picture), name, random)
            picture.save(folder / f"{index:04d}.png")
            table.writerow([f"{index:04d}.png", ";".join(chosen)])
    return folder / "labels.csv"


def add(pen: ImageDraw.ImageDraw, name: str, random: np.random.Generator) -> None:
    """One shape somewhere, in some light colour."""
    size = int(random.integers(12, 18))
    left, top = (int(place) for place in random.integers(1, SIDE - size - 1, 2))
    colour = tuple(int(value) for value in random.integers(150, 256, 3))
    box = (left, top, left + size, top + size)
    if name == "disc":
        pen.ellipse(box, fill=colour)
    elif name == "square":
        pen.rectangle(box, fill=colour)
    else:
        pen.line(box, fill=colour, width=3)
        pen.line((left, top + size, left + size, top), fill=colour, width=3)


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

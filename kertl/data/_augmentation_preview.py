"""`preview_augmentation`: a picture of what an augmentation does to images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kertl._checks import integer
from kertl._transformations import transformations_of
from kertl.data._image_data import ImageData, check_image_data
from kertl.data.augment import layers, varied
from kertl.run_files import save_figure
from kertl.tasks import task_named


def preview_augmentation(
    data: ImageData,
    augment: str | Sequence[Any],
    path: str | Path,
    *,
    images: int = 6,
    versions: int = 6,
    seed: int = 0,
) -> None:
    """Draw a grid of training images, one of each class as far as rows allow: first unchanged, then varied.

    Args:
        data: The images.
        augment: As in `kertl.data.augment.layers`.
        path: Where the picture is written; its suffix decides the format.
        images: Number of rows at most; >= 1.
        versions: Number of varied images in a row; >= 1.
        seed: Seed of the random draws; >= 0.

    Raises:
        ValueError: If an argument is outside its range.
        RunError: If the picture cannot be written.
    """
    from matplotlib.figure import Figure

    for name, value, least in (("images", images, 1), ("versions", versions, 1), ("seed", seed, 0)):
        integer(name, value, at_least=least)
    check_image_data(data)
    made = layers(augment, data.channels)
    rows, titles = _rows(data, images)
    plain = data.train.reader.take(rows)
    columns = [plain, *(varied(made, plain, (seed, number)) for number in range(versions))]
    figure = Figure(figsize=(1.5 * len(columns), 1.5 * len(rows) + 0.5), layout="constrained")
    grid = figure.subplots(len(rows), len(columns), squeeze=False)
    for down, title in enumerate(titles):
        for across, pictures in enumerate(columns):
            axes = grid[down, across]
            shown = np.clip(pictures[down], 0, 255).astype(np.uint8)
            axes.imshow(shown[..., :3] if data.channels >= 3 else shown[..., 0], cmap="gray", vmin=0, vmax=255)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if not down:
                axes.set_title(f"version {across}" if across else "as it is", fontsize=9)
        grid[down, 0].set_ylabel(title, fontsize=9)
    words = ", ".join(f"{name} {amount}" for name, amount in transformations_of(augment)) or "nothing"
    figure.suptitle(f"{augment}: {words}" if isinstance(augment, str) else words, fontsize=10, wrap=True)
    save_figure(figure, path, dpi=120)


def _rows(data: ImageData, most: int) -> tuple[np.ndarray, list[str]]:
    """The numbers of training images, the first of each class where each has one class, and what stands beside them."""
    labels = np.asarray(data.train.labels)
    if task_named(data.task).one_class:
        found, firsts = np.unique(labels.ravel().astype(np.int64), return_index=True)
        return firsts[:most], [data.class_names[label] for label in found[:most]]
    rows = np.arange(min(most, len(labels)))
    return rows, [Path(data.train.files[row]).name for row in rows]

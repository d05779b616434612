"""Features for TensorBoard's embedding projector: vectors, labels, and a sprite of the images."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from kertl._checks import complain, integer
from kertl.data import ImageDataset
from kertl.features._features import Features
from kertl.run_files import read_text, replace_file, write_text

CONFIG = "projector_config.pbtxt"
_LARGEST_SPRITE = 8192  # pixels along a side, the most that TensorBoard shows
_SIDE = 64


def write_projector(
    features: Features | np.ndarray,
    log_dir: str | Path,
    images: ImageDataset | None = None,
    *,
    name: str = "features",
    most: int = 5000,
) -> None:
    """Write features for TensorBoard's embedding projector, which maps them by PCA, t-SNE or UMAP.

    Feature maps are averaged over their places, so that there is a vector per image; where two tensors cross the
    boundary, they are joined. What was written there under other
    names stays.

    Args:
        features: What `kertl.extract` gave at any boundary, or an array with one row per image.
        log_dir: The folder that TensorBoard is shown, or one inside it.
        images: The images that they are the features of, in data order: their labels and pictures are shown.
        name: What the projector calls them; letters, digits, spaces, "-" and "_".
        most: Images to write at most, evenly spread over all; >= 1.

    Raises:
        ValueError: If there are not as many images as features, or an argument is outside its range.
        DataError: If an image cannot be read.
        RunError: If the files cannot be written.

    Example:
        >>> import kertl, numpy as np, tempfile
        >>> from pathlib import Path
        >>> from kertl.features import write_projector
        >>> x = np.random.default_rng(0).integers(0, 255, (12, 32, 32, 3), "uint8")
        >>> data = kertl.data.from_arrays(x, [0, 1] * 6, validation=0, test=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_projector(np.zeros((12, 5)), folder, data.train, name="flat")
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['flat_labels.tsv', 'flat_sprite.png', 'flat_vectors.tsv', 'projector_config.pbtxt']

    Reference:
        Smilkov et al., "Embedding Projector", 2016. https://arxiv.org/abs/1611.05469
    """
    integer("most", most, at_least=1)
    if not name.strip() or not all(one.isalnum() or one in " -_" for one in name):
        raise complain("name", "letters, digits, spaces, '-' and '_'", name)
    count = len(features)
    if images is not None and images.num_examples != count:
        raise complain("images", f"the {count} that the features are of", images.num_examples)
    rows = np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))
    taken = features.take(rows) if isinstance(features, Features) else np.asarray(features)[rows]
    vectors = np.concatenate([_averaged(part) for part in (taken if isinstance(taken, list) else [taken])], axis=1)
    folder, stem = Path(log_dir), "_".join(name.split())
    found = {"tensor_name": name, "tensor_path": f"{stem}_vectors.tsv"}
    write_text(folder / found["tensor_path"], _tsv(vectors))
    side = 0
    if images is not None:
        found["metadata_path"] = f"{stem}_labels.tsv"
        write_text(folder / found["metadata_path"], _labels(images, rows))
        sprite, side = _sprite(images, rows)
        found["sprite"] = f"{stem}_sprite.png"
        replace_file(folder / found["sprite"], lambda beside: sprite.save(beside, "PNG"))
    _add(folder / CONFIG, found, side)


def _averaged(values: np.ndarray) -> np.ndarray:
    """A vector per image."""
    return np.asarray(values, np.float32).reshape(len(values), -1, values.shape[-1]).mean(axis=1)


def _tsv(vectors: np.ndarray) -> str:
    return "".join("\t".join(f"{value:.7g}" for value in row) + "\n" for row in vectors)


def _labels(images: ImageDataset, rows: np.ndarray) -> str:
    """A row for each image: its label and its file."""
    lines = ["label\tfile"]
    for row in rows:
        told = "" if images.labels is None else _told(images, images.labels[row])
        lines.append("\t".join(" ".join(text.split()) or "-" for text in (told, images.files[row])))
    return "\n".join(lines) + "\n"


def _told(images: ImageDataset, label: Any) -> str:
    """A label in words: a class, classes, or numbers."""
    numbers = np.ravel(label)
    if images.task in ("single_label", "binary"):
        return images.class_names[int(numbers[0])]
    if images.task == "multi_label":
        return ", ".join(name for name, yes in zip(images.class_names, numbers, strict=True) if yes) or "none"
    return ", ".join(f"{number:.4g}" for number in numbers)


def _sprite(images: ImageDataset, rows: np.ndarray) -> tuple[Image.Image, int]:
    """All images in rows of as many as there are rows, in reading order, and the side of each."""
    across = math.ceil(math.sqrt(len(rows)))
    side = min(_SIDE, _LARGEST_SPRITE // across)
    sprite = Image.new("RGB", (across * side, across * side), (255, 255, 255))
    for number, row in enumerate(rows):
        (pixels,) = images.reader.take(np.array([row]))
        shown = pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]
        image = Image.fromarray(np.clip(shown, 0, 255).astype(np.uint8)).convert("RGB").resize((side, side))
        sprite.paste(image, (number % across * side, number // across * side))
    return sprite, side


def _add(path: Path, found: dict[str, str], side: int) -> None:
    """Add to the configuration what was written, instead of what had that name."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = ProjectorConfig()
    try:
        text_format.Parse(read_text(path), config)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, text_format.ParseError) as error:
        advice = "Remove it, or choose another folder."
        raise complain("log_dir", f"a folder whose {CONFIG} can be read", str(path.parent), advice) from error
    kept = [one for one in config.embeddings if one.tensor_name != found["tensor_name"]]
    del config.embeddings[:]
    config.embeddings.extend(kept)
    made = config.embeddings.add(tensor_name=found["tensor_name"], tensor_path=found["tensor_path"])
    made.metadata_path = found.get("metadata_path", "")
    if side:
        made.sprite.image_path = found["sprite"]
        made.sprite.single_image_dim.extend([side, side])
    write_text(path, text_format.MessageToString(config))

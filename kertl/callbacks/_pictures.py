"""Pictures for TensorBoard, drawn with Pillow in milliseconds: matplotlib takes longer than an epoch on features."""

import functools
import importlib.util
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_TILE, _CAPTION = 128, 30
_INK, _PAPER, _GRID = (32, 32, 32), (255, 255, 255), (210, 210, 210)
RIGHT, WRONG = (0, 110, 60), (180, 30, 30)
_COLOURS = ((31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75))
_MOST_NUMBERED = 20  # classes whose counts are legible


def encoded(image: Image.Image, form: str = "PNG") -> tuple[bytes, tuple[int, int]]:
    """A picture as the bytes of a file, and its `(width, height)`."""
    held = io.BytesIO()
    image.save(held, form, quality=85)
    return held.getvalue(), image.size


def grid(pictures: np.ndarray, captions: Sequence[str] = (), colours: Sequence[Any] = ()) -> Image.Image:
    """Pictures in rows of four, each over its caption.

    Args:
        pictures: Shape `(pictures, height, width, channels)`, 0..255; of more channels than three the first three are
            drawn, of two the first.
        captions: A line or two for each.
        colours: Of each caption.
    """
    tall = _TILE + (_CAPTION if captions else 0)
    across = min(4, len(pictures))
    sheet = Image.new("RGB", (across * (_TILE + 4), -(-len(pictures) // across) * (tall + 4)), _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font()
    for number, picture in enumerate(pictures):
        left, top = number % across * (_TILE + 4) + 2, number // across * (tall + 4) + 2
        image = thumbnail(picture, _TILE)
        sheet.paste(image, (left + (_TILE - image.width) // 2, top + (_TILE - image.height) // 2))
        if captions:
            for line, text in enumerate(captions[number].split("\n")[:2]):
                place = (left, top + _TILE + 1 + 14 * line)
                draw.text(place, _fitting(text, font, _TILE), colours[number], font)
    return sheet


def thumbnail(picture: np.ndarray, side: int) -> Image.Image:
    """A picture at that size along its longer side."""
    pixels = np.clip(picture, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., :3] if pixels.shape[-1] >= 3 else pixels[..., 0]).convert("RGB")
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.NEAREST if scale > 2 else Image.Resampling.BILINEAR)


def confusion_picture(counts: np.ndarray, names: Sequence[str]) -> Image.Image:
    """A confusion matrix: rows are the truth, columns the prediction, darker where more of a row are."""
    count, font = len(names), _font()
    cell = max(4, min(44, 880 // count))
    side = min(110, max(int(font.getlength(name)) for name in names) + 8) if count <= _MOST_NUMBERED else 20
    sheet = Image.new("RGB", (side + count * cell + 20, side + count * cell + 20), _PAPER)
    draw = ImageDraw.Draw(sheet)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in np.ndindex(*counts.shape):
        left, top = side + column * cell, side + 16 + row * cell
        share = float(shares[row, column])
        shade = tuple(int(255 - share * (255 - dark)) for dark in ((20, 80, 160) if row == column else WRONG))
        draw.rectangle((left, top, left + cell - 1, top + cell - 1), shade)
        if count <= _MOST_NUMBERED and counts[row, column]:
            ink = _PAPER if share > 0.5 else _INK
            draw.text((left + cell / 2, top + cell / 2), str(int(counts[row, column])), ink, font, anchor="mm")
    if count <= _MOST_NUMBERED:
        for place, name in enumerate(names):
            text = _fitting(name, font, side - 6)
            draw.text((side - 4, side + 16 + (place + 0.5) * cell), text, _INK, font, anchor="rm")
            _upright(sheet, text, (side + int((place + 0.5) * cell), side + 12), font)
    draw.text((2, 2), "truth ↓  prediction →", _INK, font)
    return sheet


def roc_picture(curves: Mapping[str, tuple[np.ndarray, np.ndarray, float]]) -> Image.Image:
    """Curves of the receiver operating characteristic.

    Args:
        curves: By class: shares of false and of true positives, and the area under the curve.
    """
    side, left, top = 320, 46, 12
    sheet = Image.new("RGB", (side + 240, side + 60), _PAPER)
    draw, font = ImageDraw.Draw(sheet), _font()
    for number in range(6):
        at = number * side // 5
        draw.line((left, top + at, left + side, top + at), _GRID)
        draw.line((left + at, top, left + at, top + side), _GRID)
        draw.text((left - 6, top + side - at), f"{number / 5:.1f}", _INK, font, anchor="rm")
        draw.text((left + at, top + side + 6), f"{number / 5:.1f}", _INK, font, anchor="mt")
    draw.line((left, top + side, left + side, top), _GRID, 1)
    for number, (name, (wrong, right, area)) in enumerate(curves.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        points = [(left + x * side, top + side - y * side) for x, y in zip(wrong, right, strict=True)]
        draw.line(points, colour, 2)
        text = f"{_fitting(name, font, 110)}  AUC {area:.3f}"
        draw.text((left + side + 10, top + number * 15), text, colour, font)
    draw.text((left + side // 2, top + side + 24), "false positive rate", _INK, font, anchor="mt")
    _upright(sheet, "true positive rate", (10, top + side // 2 + 50), font)
    return sheet


@functools.cache
def _font() -> Any:
    """Matplotlib's font, which has arrows and most alphabets; importing matplotlib would take longer than drawing."""
    found = importlib.util.find_spec("matplotlib")
    assert found is not None
    assert found.origin is not None
    return ImageFont.truetype(Path(found.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", 11)


def _fitting(text: str, font: Any, width: int) -> str:
    """A text cut to a width, with an ellipsis if it is."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def _upright(sheet: Image.Image, text: str, bottom: tuple[int, int], font: Any) -> None:
    """Write a text upwards, beginning at a point."""
    label = Image.new("RGB", (int(font.getlength(text)) + 2, 14), _PAPER)
    ImageDraw.Draw(label).text((1, 1), text, _INK, font)
    turned = label.rotate(90, expand=True)
    sheet.paste(turned, (bottom[0] - 7, max(0, bottom[1] - turned.height)))

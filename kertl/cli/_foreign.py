"""Options that say what a model from elsewhere does not know about itself."""

import contextlib
import dataclasses
import importlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kertl._checks import complain, named
from kertl._terminal import working
from kertl.cli import _options as options

if TYPE_CHECKING:
    import keras

_ELSEWHERE = "For a model from elsewhere: "

ImageSize = Annotated[
    int | None,
    typer.Option(help="Side in pixels, for a model that takes any size.", callback=options.check_side),
]
Channels = Annotated[int | None, typer.Option(help="Channels of the images; must be those of the model.")]
Resize = Annotated[
    str | None,
    typer.Option(
        help=_ELSEWHERE + "how its images became square: stretch, pad or crop.",
        callback=options.among("--resize", options.RESIZE),
    ),
]
Preprocessing = Annotated[
    str | None,
    typer.Option(
        help=_ELSEWHERE + "what its pixels went through: none (0..255), unit (0..1), tf, torch or caffe.",
        callback=options.among("--preprocessing", options.PREPROCESSING),
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        help=_ELSEWHERE + "single_label, binary, multi_label or regression; logits become probabilities.",
        callback=options.among("--task", options.TASKS),
    ),
]
ClassName = Annotated[
    list[str] | None, typer.Option(help=_ELSEWHERE + "its classes, in the order of its outputs; repeatable.")
]
Custom = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE:CLASS",
        help=_ELSEWHERE + "a layer or function in it, imported from the current directory; repeatable. This runs the "
        "code of that module, so name only one that you trust.",
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """What was said about a model; None and empty lists for what it is to say itself."""

    image_size: ImageSize = None
    channels: Channels = None
    resize: Resize = None
    preprocessing: Preprocessing = None
    task: Task = None
    class_name: ClassName = None
    custom: Custom = None

    def load(self, path: Path) -> "keras.Model":
        """The model of a run directory or file, which then knows what was said."""
        import keras

        import kertl
        from kertl.groups import functional_of

        with working("Loading the model"), keras.saving.custom_object_scope(_custom_objects(self.custom or ())):
            model = kertl.load(path)
        functional_of(model)
        known = self._known
        given = any(value is not None for value in known.values())
        return kertl.model.describe(model, **known) if given else model

    @contextlib.contextmanager
    def asked(self, path: Path) -> "Iterator[Path | keras.Model]":
        """What `kertl.export` and its like take: the path, whose run they know, or the model if more was said of it."""
        import keras

        if any(value is not None for value in self._known.values()):
            yield self.load(path)
            return
        with keras.saving.custom_object_scope(_custom_objects(self.custom or ())):
            yield path

    @property
    def _known(self) -> dict[str, Any]:
        """What `kertl.model.describe` is told."""
        return {
            "task": self.task,
            "class_names": self.class_name or None,
            "resize": self.resize,
            "preprocessing": self.preprocessing,
        }

    def form(self, model: "keras.Model") -> tuple[tuple[int, int], int]:
        """`(height, width)` and channels of the images for a model."""
        from kertl.model import picture_shape

        size, channels = picture_shape(model)
        asked = None if self.image_size is None else (self.image_size, self.image_size)
        if size is None and asked is None:
            raise complain("--image-size", f"given, since {named(model)} takes pictures of any size", self.image_size)
        if None not in (size, asked) and size != asked:
            raise complain("--image-size", f"left out, since {named(model)} takes pictures of {size}", self.image_size)
        if None not in (channels, self.channels) and channels != self.channels:
            raise complain("--channels", f"{channels}, as {named(model)} takes them, or left out", self.channels)
        return size or asked or (0, 0), channels or self.channels or 3


def _custom_objects(given: Sequence[str]) -> dict[str, Any]:
    """The classes and functions by name, from modules that are looked for in the current directory first.

    Raises:
        ValueError: If one is not written as MODULE:CLASS, or is not there.
    """
    found: dict[str, Any] = {}
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        for one in given:
            module, _, name = one.partition(":")
            if not module or not name:
                raise complain("--custom", "a module and a name in it, such as layers:Attention", one)
            try:
                found[name] = getattr(importlib.import_module(module), name)
            except (ImportError, AttributeError) as error:
                accepted = f"a module in {here!r} or an installed one, and a name in it"
                raise complain("--custom", accepted, one, f"({error})") from error
    finally:
        sys.path.remove(here)
    return found

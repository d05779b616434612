"""Options that several commands share."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kertl._checks import LARGEST_SIDE, complain, integer, number, one_of
from kertl._places import is_address
from kertl._terminal import working
from kertl._transformations import STRENGTHS, checked_augment
from kertl.cli._fields import showing
from kertl.errors import ArgumentError
from kertl.recipe import NAMED, Stage

if TYPE_CHECKING:
    import keras

    from kertl.recipe import Recipe

_FIELDS = f"They are {', '.join(field.name for field in dataclasses.fields(Stage))}."

# What the tables of the library have, which cannot be read before TensorFlow is imported.
TASKS = ("single_label", "binary", "multi_label", "regression")
RESIZE = ("stretch", "pad", "crop")
PREPROCESSING = ("none", "unit", "tf", "torch", "caffe")
ACCELERATORS = ("auto", "cpu", "gpu", "tpu")


def checked(check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What checks an option where it is read, before anything slow is imported."""

    def callback(value: Any) -> Any:
        if value is not None:
            check(value)
        return value

    return callback


def among(option: str, accepted: Iterable[str]) -> Callable[[Any], Any]:
    """A check that an option is one of several words."""
    return checked(lambda value: one_of(option, value, accepted))


def whole(option: str, least: int) -> Callable[[Any], Any]:
    """A check that an option is a whole number from `least` on."""
    return checked(lambda value: integer(option, value, at_least=least))


def share(option: str) -> Callable[[Any], Any]:
    """A check that an option is a share of the images."""
    return checked(lambda value: number(option, value, at_least=0, below=1))


def _check_file(option: str, name: str, words: Iterable[str]) -> None:
    """Raise if what can only be a file is not there."""
    if name not in words and not Path(name).exists():
        raise complain(option, f"{' or '.join(map(repr, words))}, or a file that exists", name)


def check_backbones(given: str | list[str]) -> None:
    """Raise if a backbone can only be a file, and it is not there."""
    for name in [given] if isinstance(given, str) else given:
        if not name.startswith(("hub:", "cv:")) and ("." in name or "/" in name) and not Path(name).exists():
            raise complain("--backbone", "a name that `kertl backbones` lists, or a file that exists", name)


check_side = checked(lambda side: integer("--image-size", side, at_least=1, at_most=LARGEST_SIDE))


def there(name: str) -> Callable[[Any], Any]:
    """A check that something is there, unless it is at an address, which takes longer to ask."""

    def check(path: str) -> None:
        if not is_address(path) and not Path(path).exists():
            raise complain(name, "a path that is there, or an address such as gs://bucket/photos", path)

    return checked(check)


def place_of_run(given: str, *, afresh: bool = False) -> Path:
    """A path that is there; of a run at an address, that of its copy on this machine, which is fetched."""
    if is_address(given):
        from kertl.run_files import local_run

        try:
            with working(f"Fetching {given}"):
                return local_run(given, "RUN", afresh=afresh)
        except ArgumentError as error:
            raise typer.BadParameter(str(error)) from error  # typer shows no other `ValueError`
    if not Path(given).exists():
        raise typer.BadParameter(f"Path {given!r} does not exist.")
    return Path(given)


def place_afresh(given: str) -> Path:
    """The same, with all files downloaded again."""
    return place_of_run(given, afresh=True)


DataPath = Annotated[
    str,
    typer.Argument(
        metavar="DIR_OR_CSV",
        callback=there("DIR_OR_CSV"),
        help="A folder with one folder of images per class, or a CSV table; also at an address such as gs://….",
    ),
]
ImageColumn = Annotated[str, typer.Option(help="CSV: the column with the image files.")]
LabelColumn = Annotated[
    list[str] | None,
    typer.Option(help="CSV: the column with the labels, `label` by default; repeatable for several labels or targets."),
]
Task = Annotated[
    str, typer.Option(help="single_label, binary, multi_label or regression.", callback=among("--task", TASKS))
]
ClassName = Annotated[
    list[str] | None,
    typer.Option(help="All the classes in the desired order, repeatable; of two the second is the positive one."),
]
Separator = Annotated[str | None, typer.Option(help="CSV: the text between several labels in one column.")]
StratifyColumn = Annotated[list[str] | None, typer.Option(help="CSV: also stratify by this column; repeatable.")]
GroupColumn = Annotated[str | None, typer.Option(help="CSV: images of equal value stay on one side of the split.")]
SplitColumn = Annotated[str | None, typer.Option(help="CSV: a given split (train, validation, test, or blank).")]
Root = Annotated[
    str | None, typer.Option(callback=there("--root"), help="CSV: where its files are; its own folder by default.")
]
CheckAgain = Annotated[
    bool,
    typer.Option("--check-again", help="Decode files too that have not changed since they were last checked."),
]
BatchSize = Annotated[
    int,
    typer.Option(
        help="Images per batch, of all devices together.",
        callback=whole("--batch-size", 1),
    ),
]
Accelerator = Annotated[
    str,
    typer.Option(
        help="cpu, gpu, tpu, or auto: the best there is.",
        callback=among("--accelerator", ACCELERATORS),
    ),
]
Devices = Annotated[
    int | None,
    typer.Option(
        help="How many devices; all by default. Several of a CPU are virtual ones, to try out.",
        callback=whole("--devices", 1),
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        help="Name of an Application, hub:PRESET or cv:PRESET (see `kertl backbones`), or a trained .keras or .h5.",
        callback=checked(check_backbones),
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        help="imagenet, none, or a file; a trained model has its own.",
        callback=checked(lambda name: _check_file("--weights", name, ("imagenet", "none"))),
    ),
]
Preprocessing = Annotated[
    str | None,
    typer.Option(
        help="What pixels of 0..255 go through before the backbone: none, unit (0..1), tf (-1..1), torch or caffe; by "
        "default what it says itself.",
        callback=among("--preprocessing", PREPROCESSING),
    ),
]
ImageSize = Annotated[
    int | None, typer.Option(help="Side in pixels; by default the backbone's own.", callback=check_side)
]
Resize = Annotated[
    str,
    typer.Option(
        help="How images become square: stretch, pad or crop; the model remembers it.",
        callback=among("--resize", RESIZE),
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(help="Channels of the images: 1 gray, 3 colour, 4 with alpha, any for .npy; by default the model's."),
]
Views = Annotated[
    int,
    typer.Option(
        help="Average with predictions for this many augmented versions of each image (see --augment).",
        callback=whole("--views", 0),
    ),
]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=AMOUNT]",
        help="none, light or strong; or repeatable transformations such as flip, rotation=0.05, zoom, cutout=0.25.",
        callback=checked(lambda given: given and checked_augment(read_augment(given))),
    ),
]
StageFields = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help=f"A field of kertl.Stage, for all stages; repeatable: loss=focal. {_FIELDS} `--stage help` explains them.",
        callback=showing("Stage"),
        is_eager=True,
    ),
]
HeadFields = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FIELD=VALUE",
        help="A field of kertl.Head; repeatable: hidden_units=[256]. `--head help` lists and explains them.",
        callback=showing("Head"),
        is_eager=True,
    ),
]
Validation = Annotated[
    float, typer.Option(help="Share of the images in the validation set.", callback=share("--validation"))
]
Test = Annotated[float, typer.Option(help="Share of the images in the test set.", callback=share("--test"))]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BackboneOptions:
    """Which backbone a command takes."""

    backbone: Backbone = "EfficientNetV2B0"
    weights: Weights = "imagenet"
    preprocessing: Preprocessing = None
    image_size: ImageSize = None
    channels: Channels = None

    def read(self, seed: int = 0) -> "keras.Model":
        """The backbone; random weights follow the seed, and so do later draws."""
        return read_backbone(
            self.backbone, self.weights, self.image_size, seed, channels=self.channels, preprocessing=self.preprocessing
        )


def read_backbone(
    name: str,
    weights: str,
    image_size: int | None,
    seed: int,
    *,
    channels: int | None = None,
    preprocessing: str | None = None,
) -> "keras.Model":
    """The backbone of that name or file; random weights follow the seed, and so do later draws."""
    import keras

    import kertl
    from kertl.backbones import MODEL_SUFFIXES

    options = {"weights": None if weights == "none" else weights, "preprocessing": preprocessing}

    def loaded(shape: tuple[int, int, int] | None) -> "keras.Model":
        keras.utils.set_random_seed(seed)
        with working("Loading the backbone"):
            return kertl.load_backbone(name, **options, input_shape=shape)

    if image_size is not None and (channels is not None or not name.endswith(MODEL_SUFFIXES)):
        return loaded((image_size, image_size, channels or 3))
    own = loaded(None)
    height, width, depth = own.input_shape[1:]
    shape = (image_size or height, image_size or width, channels or depth)
    return own if shape == own.input_shape[1:] else loaded(shape)


def read_steps(text: str) -> tuple[int, int]:
    """`10:20` as numbers of steps."""
    first, _, last = text.partition(":")
    if not (first.isdecimal() and last.isdecimal() and 2 <= int(first) <= int(last)):
        raise complain("--profile", "FIRST:LAST with 2 <= FIRST <= LAST, such as 10:20", text)
    return int(first), int(last)


def read_augment(given: list[str] | None) -> str | list[Any] | None:
    """A strength, or a list of transformations, as `kertl.Stage` takes it; None if nothing was given."""
    if not given:
        return None
    if len(given) == 1 and (given[0] in STRENGTHS):
        return given[0]
    return [_transformation(one) for one in given]


def _transformation(text: str) -> str | tuple[str, float | str]:
    name, equals, amount = text.partition("=")
    try:
        return (name, float(amount)) if equals else name
    except ValueError:
        return name, amount


def read_recipe(name: str, given: dict[str, Any]) -> "Recipe":
    """The named recipe, or the one in a JSON file, with some fields of its stages changed."""
    from kertl.recipe import Recipe, named_recipe
    from kertl.run_files import read_text

    if not name.endswith(".json"):
        return named_recipe(one_of("--recipe", name, NAMED), **given)
    try:
        recipe = Recipe.from_json(read_text(Path(name)))
    except (OSError, ValueError) as error:
        damaged = isinstance(error, (json.JSONDecodeError, UnicodeDecodeError))
        reason = "It is not JSON." if damaged else getattr(error, "strerror", None) or str(error)
        advice = f"({reason.rstrip('.')}.)"
        raise complain("--recipe", "the name of a recipe, or a recipe.json that can be read", name, advice) from error
    return dataclasses.replace(recipe, stages=[dataclasses.replace(stage, **given) for stage in recipe.stages])

"""Images without labels, to predict on."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kertl import _checks
from kertl._places import Places, none_usable
from kertl.data._dataset import ImageDataset
from kertl.data._decode import RESIZE
from kertl.data._issues import Issue
from kertl.data._kept import room_for
from kertl.data._links import Owners
from kertl.data._readers import FileReader, KnownFile
from kertl.data._scan import inspect, walk
from kertl.errors import DataError


def images(
    paths: str | Path | Iterable[str | Path],
    *,
    image_size: tuple[int, int],
    resize: str = "stretch",
    channels: int = 3,
    batch_size: int = 32,
    check_again: bool = False,
) -> ImageDataset:
    """Image files, or all those in folders, in the order given, for `predict`.

    Args:
        paths: One or several files or folders; the files of a folder are sorted by name.
        image_size: `(height, width)` every image is resized to; each >= 1.
        resize: `"stretch"`, `"pad"` or `"crop"`, see `read_image`.
        channels: Channels of the images, see `read_image`; >= 1.
        batch_size: Images per batch; >= 1.
        check_again: Whether files are decoded that have not changed since an earlier check, see `from_directory`.

    Returns:
        A dataset of `(images,)`; `files` names them, `issues` those that cannot be used.

    Raises:
        DataError: If no file can be used.
        ValueError: If an argument is outside the range given above.

    Example:
        >>> import kertl, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("L", (8, 8)).save(folder / "black.png")
        >>> _ = (folder / "empty.png").write_bytes(b"")
        >>> dataset = kertl.data.images(folder, image_size=(4, 4))
        >>> dataset.num_examples, dataset.issues[0].reason
        (1, 'is empty (0 bytes)')
    """
    _checks.pair("image_size", image_size)
    _checks.one_of("resize", resize, RESIZE)
    _checks.integer("batch_size", batch_size, at_least=1)
    _checks.integer("channels", channels, at_least=1)
    _checks.one_of("check_again", check_again, (False, True))
    issues: list[Issue] = []
    given = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    found = files_in(given, issues)
    kept = room_for(len(found), image_size, resize, channels)
    verdicts = list(zip(found, inspect(found, channels, kept, again=check_again), strict=True))
    usable = [KnownFile(path, verdict.sha256, verdict.stamp) for path, verdict in verdicts if not verdict.reason]
    issues += [Issue(path, verdict.reason) for path, verdict in verdicts if verdict.reason]
    refuse_none(usable, given, issues)
    return ImageDataset(
        FileReader(usable, image_size, resize, channels, kept),
        None,
        [file.path for file in usable],
        batch_size=batch_size,
        issues=issues,
        digests=[verdict.sha256 for _, verdict in verdicts if not verdict.reason],
    )


def files_in(given: Iterable[Path], issues: list[Issue]) -> list[str]:
    """The files given, and those in the folders given; what is passed over in folders is added to `issues`."""
    places, owners = Places(), Owners()
    return [
        str(file) if path.is_dir() else places.path(file)
        for path in given
        for file in (walk(path, issues, Path(), owners) if path.is_dir() else [path])
    ]


def refuse_none(usable: Sequence[Any], given: Sequence[Path], issues: Sequence[Issue]) -> None:
    """Raise if no image can be used.

    Raises:
        DataError: If so; the message has the first reasons.
    """
    if usable:
        return
    if issues:
        first = [(issue.path, issue.reason) for issue in issues[:3]]
        raise none_usable("that `paths` names", Places(), first, len(issues))
    named = ", ".join(repr(str(path)) for path in given[:3]) or "none"
    raise DataError(
        f"`paths` must name at least one image that can be read. Received: {named}, without a file in it.",
        code="no-images",
    )

"""Images without labels, to predict on."""

from collections.abc import Iterable
from pathlib import Path

from kertl import _checks
from kertl.data._dataset import ImageDataset
from kertl.data._decode import RESIZE
from kertl.data._issues import Issue
from kertl.data._kept import room_for
from kertl.data._listing import files_in, refuse_none
from kertl.data._readers import FileReader, KnownFile
from kertl.data._scan import inspect


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
    image_size = _checks.pair("image_size", image_size)
    _checks.one_of("resize", resize, RESIZE)
    _checks.integer("batch_size", batch_size, at_least=1)
    _checks.integer("channels", channels, at_least=1)
    _checks.one_of("check_again", check_again, (False, True))
    issues: list[Issue] = []
    given = _checks.paths("paths", paths)
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

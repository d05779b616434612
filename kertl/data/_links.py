"""Links inside a data set: what they lead to must not give an image the class of another folder."""

import os
from collections.abc import Iterable
from pathlib import Path


class Owners:
    """The folders of classes, whose files no link takes into another class.

    Args:
        folders: One for each class, and for each part if the data are divided.
    """

    def __init__(self, folders: Iterable[Path] = ()) -> None:
        self._by_place: dict[Path, Path] = {}
        for folder in sorted(folders, key=Path.is_symlink):
            self._by_place.setdefault(_place(folder), folder)

    def stray(self, path: Path, folder: Path) -> str:
        """Why something is not to be read as of a class, an empty string if it is.

        Args:
            path: A file or folder below `folder`, or `folder` itself.
            folder: The folder of the class.
        """
        place, own = _place(path), _place(folder)
        owner = next((self._by_place[here] for here in (place, *place.parents) if here in self._by_place), folder)
        foreign = f"the folder {str(owner)!r}, whose images have that class"
        if path == folder:
            taken = owner != folder and folder.is_symlink() and not owner.is_symlink()
            return f"is a link to {foreign}" if taken else ""
        if place.is_relative_to(own):
            return ""
        if own.is_relative_to(place):
            return "leads back to a folder around the one it is in, and is not followed"
        return f"leads by a link into {foreign}" if owner != folder else ""


def _place(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `Path.resolve` raises for links in a circle

"""What the check of a file finds."""

import dataclasses

from kertl.data._decode import Stamp

_NO_STAMP = Stamp(0, 0)


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What reading one file showed."""

    reason: str = ""
    """Why it cannot be used; in that case nothing else is known."""
    sha256: str = ""
    """Digest of its content."""
    stamp: Stamp = _NO_STAMP
    """Its size and time."""
    kind: str = ""
    """What its content is, one of `READ`."""
    size: tuple[int, int] = (0, 0)
    """`(height, width)` of the image in it."""
    images: int = 1
    """How many images are in it, frames of an animation or pages; 0 for several that cannot all be read."""
    thumbnail: bytes = b""
    """See `kertl.data._look_alikes`."""

"""What is odd about images that can still be used."""

from collections.abc import Iterator, Sequence

import numpy as np

from kertl.data._issues import Issue
from kertl.data._kinds import belied
from kertl.data._verdict import Verdict

_FEW = 10  # images; fewer have no usual size
_SIDE = 8.0  # times as large or small as usual
_ASPECT = 4.0  # times as long or as tall as usual


def oddities(files: Sequence[tuple[str, Verdict]]) -> Iterator[Issue]:
    """Files whose name suggests another kind of image, that hold several images, or whose size is unusual."""
    for file, verdict in files:
        if belied(file, verdict.kind):
            yield Issue(file, f"is a {verdict.kind} image by its content and is read as one", left_out=False)
        if not verdict.images:
            yield Issue(file, "holds several images, not all of which can be read; the first is used", left_out=False)
        elif verdict.images > 1:
            yield Issue(file, f"holds {verdict.images} images; the first is used", left_out=False)
    sizes = np.array([verdict.size for _, verdict in files], float).reshape(-1, 2)
    if len(files) < _FEW:
        return
    side, aspect = np.log(sizes).mean(axis=1), np.log(sizes[:, 1] / sizes[:, 0])
    unusual = (abs(side - np.median(side)) > np.log(_SIDE)) | (abs(aspect - np.median(aspect)) > np.log(_ASPECT))
    usual = "{:.0f} x {:.0f}".format(*np.median(sizes, axis=0))
    for row in np.flatnonzero(unusual).tolist():
        file, verdict = files[row]
        height, width = verdict.size
        yield Issue(file, f"is {height} x {width} pixels (height x width), where {usual} is usual", left_out=False)

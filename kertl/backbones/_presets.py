"""The names of the presets that `hub:` and `cv:` know. Their packages are imported on demand."""

from kertl._checks import one_of
from kertl.backbones._cv import cv_presets
from kertl.backbones._hub import vision_presets


def preset_names(package: str) -> list[str]:
    """The presets of image backbones, in order.

    Args:
        package: "hub" for KerasHub, "cv" for KerasCV.

    Raises:
        ValueError: If `package` is neither.
        ImportError: If the package is missing.
    """
    one_of("package", package, ("hub", "cv"))
    return vision_presets() if package == "hub" else list(cv_presets())

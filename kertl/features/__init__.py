"""Extract once: what the frozen prefix of a model makes of the images, computed once and used by all that follows."""

from kertl.features._extract import extract
from kertl.features._features import Features

__all__ = ["Features", "extract"]

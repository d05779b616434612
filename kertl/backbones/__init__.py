"""Pretrained backbones without their top, with their preprocessing inside: pictures of 0..255 in, features out."""

from kertl.backbones._applications import APPLICATIONS, Application, recognise
from kertl.backbones._load import load_backbone
from kertl.backbones._preprocessing import KINDS

__all__ = ["APPLICATIONS", "KINDS", "Application", "load_backbone", "recognise"]

"""Curves of real trainings that were made to go wrong, as `benchmarks/diagnosis.py` recorded them."""

import json
from pathlib import Path

from kertl.diagnosis import Curves, Known, judge

RECORDS = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "diagnosis_histories.json").read_text())


def diagnosed(record):
    return judge(Curves(record["history"]), Known(**record["known"]))


def of_cause(cause, half=None):
    return [one for one in RECORDS if one["cause"] == cause and half in (None, one["half"])]


def recorded(cause):
    """A training of that cause which is recognised."""
    return next(one for one in of_cause(cause) if diagnosed(one).verdict == cause)

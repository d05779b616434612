"""What a training shows: a verdict in words, its evidence, and what to try next."""

from kertl.diagnosis._advice import VERDICTS
from kertl.diagnosis._curves import INFERENCE, Curves, Known
from kertl.diagnosis._diagnose import diagnose, judge
from kertl.diagnosis._profile import Operation, Profile, read_profile
from kertl.diagnosis._read import known_of
from kertl.diagnosis._result import HEALTHY, Diagnosis, Finding
from kertl.diagnosis._trace import STEP
from kertl.diagnosis._watch import URGENT, Watch

__all__ = [
    "HEALTHY",
    "INFERENCE",
    "STEP",
    "URGENT",
    "VERDICTS",
    "Curves",
    "Diagnosis",
    "Finding",
    "Known",
    "Operation",
    "Profile",
    "Watch",
    "diagnose",
    "judge",
    "known_of",
    "read_profile",
]

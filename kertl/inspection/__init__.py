"""What is in a file or a run, found without building a model: neither Keras nor TensorFlow is imported.

`inspect` shows what is in a file, `verify` checks the checksums of a run; `refuse_bomb` and `refuse_endless` look at a
file of somebody else before it is read.
"""

from kertl.inspection._inspect import Inspection, inspect
from kertl.inspection._trust import DAMAGED, NOTE, refuse_bomb, refuse_endless
from kertl.inspection._verify import Checked, Verification, verify

__all__ = [
    "DAMAGED",
    "NOTE",
    "Checked",
    "Inspection",
    "Verification",
    "inspect",
    "refuse_bomb",
    "refuse_endless",
    "verify",
]

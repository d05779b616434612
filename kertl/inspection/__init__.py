"""What is in a file or a run, found without building a model: neither Keras nor TensorFlow is imported.

`inspect` shows what is in a file, `verify` checks the checksums of a run; `refuse_bomb` and `refuse_endless` look at a
file of somebody else before it is read.
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.inspection._exports import CARD, FOLDER, NotedExport, is_home, note_export, noted_exports, why_stale
    from kertl.inspection._inspect import Inspection, inspect
    from kertl.inspection._trust import DAMAGED, NOTE, refuse_bomb, refuse_endless
    from kertl.inspection._verify import Checked, Verification, verify

__all__ = [
    "CARD",
    "DAMAGED",
    "FOLDER",
    "NOTE",
    "Checked",
    "Inspection",
    "NotedExport",
    "Verification",
    "inspect",
    "is_home",
    "note_export",
    "noted_exports",
    "refuse_bomb",
    "refuse_endless",
    "verify",
    "why_stale",
]

# The names that each module defines.
_HOMES = {
    "._exports": ("CARD", "FOLDER", "NotedExport", "is_home", "note_export", "noted_exports", "why_stale"),
    "._inspect": ("Inspection", "inspect"),
    "._trust": ("DAMAGED", "NOTE", "refuse_bomb", "refuse_endless"),
    "._verify": ("Checked", "Verification", "verify"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)

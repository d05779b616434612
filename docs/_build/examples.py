"""What the house's docstrings need before they are rendered: `Example:` is Griffe's section `Examples:`, contents are lists."""

import re
from typing import Any

import griffe

# A line of a table of contents: names, at least two blanks, and what they are.
_CONTENTS = re.compile(r"^(\w+(?:, \w+)*) {2,}(\S.*)$", flags=re.MULTILINE)


class Examples(griffe.Extension):
    """Makes sections of doctests known as such, so that they are shown as code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring:
            text = re.sub(r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = _CONTENTS.sub(r"- `\1`: \2", text) if obj.is_module else text

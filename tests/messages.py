"""What a message must name, whatever its wording."""

import re


def assert_names(message, *parts):
    """Assert that an error or a text has each of the parts, as whole words and numbers: 1 is not in 10, 1.5 or -1."""
    text = str(message)
    missing = [part for part in parts if not re.search(rf"(?<![\w.-]){re.escape(str(part))}(?!\.?\w)", text)]
    assert not missing, f"{missing} not in: {text}"


def assert_each_names(messages, parts):
    """Assert that there is a message under each key of `parts` and no other, and that it names what stands there."""
    assert messages.keys() == parts.keys()
    for key, named in parts.items():
        assert_names(messages[key], *named)

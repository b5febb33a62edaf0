"""Values and names as text: as one would type them, and cut to the length that a file system or a service allows."""

import hashlib
import json
from typing import Any

DIGEST_LENGTH = 8


def written(value: Any) -> str:
    """A value as one would type it: `true`, `null`, `[32,32]`, `0.001`."""
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def shortened(text: str, size: int) -> str:
    """A text of at most `size` bytes in UTF-8; what is cut off is hashed, so that different texts stay different."""
    if len(text.encode()) <= size:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]
    return f"{text.encode()[: size - DIGEST_LENGTH - 1].decode(errors='ignore')}~{digest}"


def said(error: Exception) -> str:
    """The class of an exception and the first line of what it says, if it says anything."""
    return " ".join([type(error).__name__, *str(error).splitlines()[:1]])

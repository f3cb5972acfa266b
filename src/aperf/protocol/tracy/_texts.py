"""Texts as the wire takes them."""

from __future__ import annotations

from typing import Final

__all__ = ("MAX_TEXT", "cut")

#: Lengths have 16 bits; viewers count a closing NUL too.
MAX_TEXT: Final = 65_534


def cut(text: str, limit: int = MAX_TEXT) -> bytes:
    """Encode a text in at most `limit` bytes, without breaking its last character.

    What UTF-8 cannot express (lone surrogates) becomes "?".
    """
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data
    return data[:limit].decode("utf-8", "ignore").encode()

"""What is well-formed in headers of the W3C: Trace Context (level 1 and 2) and Baggage.

Each function takes any text and returns the part of it that is fit to be sent on, "" if there is
none. What is fit comes back as it was, so applying one twice is applying it once.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ("baggage_of", "is_baggage_key", "traceparent_of", "tracestate_of")

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")

#: Of tracestate. The second form is a vendor's with a tenant.
_KEY: Final = r"[a-z][_0-9a-z*/-]{0,255}|[a-z0-9][_0-9a-z*/-]{0,240}@[a-z][_0-9a-z*/-]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_STATE: Final = re.compile(f"({_KEY})=({_VALUE})")

#: Of baggage: tokens of HTTP, octets of cookies, and spaces. They have no character in common, and
#: never give back what they took (`++`): else a header of spaces would take seconds.
_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_OCTETS: Final = r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*+"
_SPACE: Final = r"[ \t]*+"
_PROPERTY: Final = rf"{_SPACE}{_TOKEN}{_SPACE}(?:={_SPACE}{_OCTETS}{_SPACE})?"
_ENTRY: Final = re.compile(rf"{_TOKEN}{_SPACE}={_SPACE}{_OCTETS}{_SPACE}(?:;{_PROPERTY})*+")
_BAGGAGE_KEY: Final = re.compile(_TOKEN)

#: Beyond these OpenTelemetry drops everything and logs a warning, each time.
_MAX_LENGTH: Final = 8192
_MAX_STATES: Final = 32
_MAX_ENTRIES: Final = 180
_MAX_ENTRY_LENGTH: Final = 4096
#: Not even looked at: servers refuse headers of such a size.
_MAX_TEXT: Final = 1 << 16


def traceparent_of(text: str) -> str:
    """Return a valid traceparent in the form of version 00.

    Of its flags only "sampled" stays: the others mean something to those alone who made the id.
    """
    match = _TRACEPARENT.fullmatch(text.strip(" \t"))
    if match is None:
        return ""
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest is not None):
        return ""
    if not trace_id.strip("0") or not span_id.strip("0"):
        return ""
    return f"00-{trace_id}-{span_id}-0{int(flags, 16) & 1}"


def tracestate_of(text: str) -> str:
    """Return the well-formed members of a tracestate, the first of each key."""
    members: dict[str, str] = {}
    for member in _split(text):
        match = _STATE.fullmatch(member)
        if match is not None:
            members.setdefault(match[1], match[0])
    return _joined(list(members.values())[:_MAX_STATES])


def baggage_of(text: str) -> str:
    """Return the well-formed entries of a baggage, with their properties."""
    fit = [e for e in _split(text) if len(e) <= _MAX_ENTRY_LENGTH and _ENTRY.fullmatch(e)]
    return _joined(fit[:_MAX_ENTRIES])


def is_baggage_key(text: str) -> bool:
    """Say whether an entry of baggage may have this key."""
    return _BAGGAGE_KEY.fullmatch(text) is not None


def _split(text: str) -> list[str]:
    """Return the members of a list, without one that is cut."""
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT].rpartition(",")[0]
    return [member.strip(" \t") for member in text.split(",")]


def _joined(members: list[str]) -> str:
    """Return a list as text, without those at the end that would make it too long."""
    length = -1
    for count, member in enumerate(members):
        length += 1 + len(member)
        if length > _MAX_LENGTH:
            return ",".join(members[:count])
    return ",".join(members)

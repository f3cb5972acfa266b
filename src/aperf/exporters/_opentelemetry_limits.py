"""What an application's SDK can carry: values that OTLP knows, and no more of them than it allows.

Its own spans are cleaned and cut by containers that look at each value, and log a line for each
that they drop. aperf's values are clean for the most part and known beforehand, so these containers
are used only where something was dropped: they are how exporters learn of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.util import BoundedList

__all__ = ("bound_attributes", "bound_list", "clean", "clean_text")

T = TypeVar("T")

_INT64: Final = range(-(1 << 63), 1 << 63)


def clean(pairs: Iterable[tuple[str, object]]) -> dict[str, Any]:
    """Return attributes whose values every exporter can encode."""
    return {clean_text(key): _clean_value(value) for key, value in pairs}


def clean_text(text: str) -> str:
    """Return text without lone surrogates: one of them would cost an exporter the whole batch."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _clean_value(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value in _INT64 else str(value)
    if isinstance(value, (bool, float)):
        return value
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return tuple(map(_clean_value, value))
    return clean_text(str(value))


def bound_attributes(
    attributes: dict[str, Any], most: int | None, length: int | None
) -> Mapping[str, Any]:
    """Return attributes with values cut to a length; those beyond `most` are counted instead."""
    if length is not None:
        attributes = {key: _cut(value, length) for key, value in attributes.items()}
    if most is None or len(attributes) <= most:
        return attributes
    bounded = BoundedAttributes(None, dict(islice(attributes.items(), most)), immutable=False)
    bounded.dropped = len(attributes) - most
    return bounded


def _cut(value: object, length: int) -> object:
    if isinstance(value, str):
        return value[:length]
    if isinstance(value, tuple):
        return tuple(_cut(item, length) for item in value)
    return value


def bound_list(items: Sequence[T], most: int | None) -> Sequence[T]:
    """Return the first items; those beyond `most` are counted instead."""
    if most is None or len(items) <= most:
        return items
    bounded: Any = BoundedList.from_seq(None, items[:most])
    bounded.dropped = len(items) - most
    result: Sequence[T] = bounded
    return result

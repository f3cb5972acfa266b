"""Names and units as Prometheus wants them, by OpenTelemetry's compatibility specification."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("family_name", "label_text", "labels_of", "unit_word")

_BAD_NAME: Final = re.compile(r"[^a-zA-Z0-9_:]+")
_BAD_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]+")
_ANNOTATION: Final = re.compile(r"\{[^}]*\}")

_UNITS: Final = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds", "ms": "milliseconds",
    "us": "microseconds", "ns": "nanoseconds", "By": "bytes", "KiBy": "kibibytes",
    "MiBy": "mebibytes", "GiBy": "gibibytes", "KBy": "kilobytes", "MBy": "megabytes",
    "GBy": "gigabytes", "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts",
    "g": "grams", "Cel": "celsius", "Hz": "hertz", "%": "percent",
}  # fmt: skip
_PER: Final = {"s": "second", "min": "minute", "h": "hour", "d": "day"}


def unit_word(unit: str, *, is_gauge: bool) -> str:
    """Return the word for a unit of UCUM, "" for none."""
    unit = _ANNOTATION.sub("", unit).strip()
    if unit == "1":
        return "ratio" if is_gauge else ""
    counted, slash, per = unit.partition("/")
    word = _UNITS.get(counted, counted)
    if slash and per:
        word = f"{word}_per_{_PER.get(per, per)}"
    return _BAD_NAME.sub("_", word).strip("_")


def family_name(name: str, unit: str, *, is_counter: bool = False) -> str:
    """Return a metric's name, ending in its unit; the ``_total`` of counters is yet to come."""
    name = _BAD_NAME.sub("_", name)
    if is_counter:
        name = name.removesuffix("_total")
    if name[:1].isdecimal():
        name = f"_{name}"
    if unit and not name.endswith(f"_{unit}"):
        name = f"{name}_{unit}"
    return re.sub("_{2,}", "_", name)


def labels_of(attributes: Mapping[str, object]) -> dict[str, str]:
    """Return labels by name; of attributes that get the same one, the values are joined."""
    labels: dict[str, str] = {}
    for key in sorted(attributes):
        name = _BAD_LABEL.sub("_", key)
        if name[:1].isdecimal():
            name = f"_{name}"
        text = label_value(attributes[key])
        labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels


def label_value(value: object) -> str:
    """Return an attribute's value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def label_text(labels: Mapping[str, str]) -> str:
    """Return labels as they stand behind a name."""
    if not labels:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in sorted(labels.items()))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

"""docs/reference/summary.md describes the JSON: here it is held to it."""

from __future__ import annotations

import json
import re
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.summaries import crawler_summary

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "summary.md"

TYPES = {"integer": int, "string": str}


class Field(NamedTuple):
    """One row of a table in the document."""

    type: str
    unit: str


def documented() -> dict[str, dict[str, Field]]:
    """Return the tables of the document's JSON part by heading, as an anchor spells it."""
    tables: dict[str, dict[str, Field]] = {}
    _, _, text = DOCUMENT.read_text(encoding="utf-8").partition("## The JSON")
    for section in text.split("\n### ")[1:]:
        heading, _, body = section.partition("\n")
        rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\|", body, re.MULTILINE)
        tables[heading.lower().replace(" ", "-")] = {
            key: Field(type_, unit) for key, type_, unit in rows
        }
    return tables


def differences(value: Any, type_: str, path: str) -> list[str]:
    """Return where a value is not what the document says of it."""
    if type_ in TYPES:
        return [] if type(value) is TYPES[type_] else [f"{path}: {value!r} is no {type_}"]
    link = re.fullmatch(r"(list of |object of )?\[[\w ]+\]\(#([\w-]+)\)", type_)
    if link is None:
        return [f"{path}: the document has no such type as {type_!r}"]
    container, anchor = link.groups()
    if container is None:
        return differences_of_object(value, anchor, path)
    if not value:
        return [f"{path}: empty, so this test would prove nothing"]
    items = enumerate(value) if container == "list of " else value.items()
    found = (differences_of_object(item, anchor, f"{path}[{key}]") for key, item in items)
    return list(chain.from_iterable(found))


def differences_of_object(value: dict[str, Any], anchor: str, path: str) -> list[str]:
    """Return where an object is not what its table says."""
    table = documented()[anchor]
    if value.keys() != table.keys():
        return [f"{path}: only one side has {sorted(value.keys() ^ table.keys())}"]
    found = (differences(value[key], table[key].type, f"{path}.{key}") for key in table)
    return list(chain.from_iterable(found))


def test_document_and_json_have_the_same_keys_and_types() -> None:
    """Every key of the JSON is documented with its type, and every documented key exists."""
    actual = json.loads(json.dumps(crawler_summary().to_dict()))
    assert [] == differences_of_object(actual, "top-level", "")


@pytest.mark.parametrize("section", documented())
def test_units(section: str) -> None:
    """Keys that end in _ns, and no others, have the unit ns."""
    table = documented()[section]
    with_unit = {key for key, field in table.items() if field.unit in ("ns", "ns since 1970")}
    assert {key for key in table if key.endswith("_ns")} == with_unit
    assert {""} >= {table[key].unit for key in table.keys() - with_unit}


def test_version() -> None:
    """Programs that read the JSON can rely on version 1."""
    assert 1 == crawler_summary().to_dict()["version"]

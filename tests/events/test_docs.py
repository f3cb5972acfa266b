"""The examples of the page about all this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import aperf
from aperf import _events
from aperf._recorder import Kind
from tests.records import decode

if TYPE_CHECKING:
    from aperf._recorder import Recorder

PAGE: Final = Path(__file__).parents[2] / "docs" / "profiling-events.md"
EXAMPLES: Final = re.findall(r"(?<!-->\n)```python\n(.+?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_example(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, example: str) -> None:
    """Each example runs, without a fault of ours."""
    for name in set(_events.__all__) - {"activate", "deactivate"}:
        monkeypatch.setattr(aperf, name, getattr(_events, name), raising=False)
    exec(compile(example, str(PAGE), "exec"), {"__name__": "example"})
    assert Kind.LOST not in {record.kind for record in decode(recorder)}


def test_all_are_shown() -> None:
    """The page has an example of each call."""
    calls = {name for name in _events.__all__ if name.islower()} - {"activate", "deactivate"}
    assert calls == {name for name in calls if any(f"aperf.{name}(" in each for each in EXAMPLES)}

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import aperf._spans
from aperf._spans import SPAN_VAR, current_span, deactivate, instrument, open_span, span
from tests.spans.watching import seen

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from aperf._recorder import Recorder


def test_inert() -> None:
    """While nothing is recorded everything works, and does nothing."""
    with span("x", a=1) as one:
        one.set_attribute("a", 1)
        one.set_attributes({"a": 1})
        one.add_event("e", {"a": 1}, time_ns=1)
        one.record_exception(ValueError())
        assert ("", 0, 0, False) == (one.name, one.owner, one.seq, one.is_recording)
        assert one is current_span()
        assert "inert" in repr(one)
    assert one is span("y")
    assert (0, 0, 0, False) == open_span(SPAN_VAR.get())


def test_inert_lets_exceptions_pass() -> None:
    """An inert span swallows nothing."""
    with pytest.raises(KeyError), span("x"):
        raise KeyError


def test_disarmed(recorder: Recorder) -> None:
    """A recorder that is not armed is as good as none, also for spans that are open."""
    with span("open") as one:
        recorder.armed = False
        assert span("x") is current_span()
        one.set_attribute("a", 1)
        one.add_event("e")
        assert not one.is_recording
    prepared = span("y")
    recorder.armed = True
    with prepared:
        assert not prepared.is_recording
    (only,) = seen(recorder)
    assert ([], {}, []) == (only.ends, only.attributes, only.events)


def test_open_while_deactivated(recorder: Recorder) -> None:
    """A span that is open when recording stops still ends in the recorder in which it began."""
    with span("open"):
        deactivate()
        assert span("x") is current_span()
    (only,) = seen(recorder)
    assert [0] == only.ends


def test_prepared_but_disarmed(recorder: Recorder) -> None:
    """A span that was made while recording, but is entered after, does nothing."""
    prepared = span("x")
    recorder.armed = False
    with prepared:
        assert not prepared.is_recording
    assert [] == seen(recorder)


def calls_made_by(function: Callable[[], object]) -> list[str]:
    """Return the names of the Python functions that a call runs, itself left out."""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            names.append(frame.f_code.co_qualname)

    names: list[str] = []
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return names[1:]


def test_costs_one_call() -> None:
    """Being off costs the call of `span`, and one check in what is decorated."""

    def spanned() -> None:
        with span("x", a=1):
            pass

    @instrument
    def decorated() -> None:
        pass

    assert ["span"] == calls_made_by(spanned)
    inside = ["active", "test_costs_one_call.<locals>.decorated"]
    assert inside == calls_made_by(decorated)


def test_imports_little() -> None:
    """Marking code does not load what only recording needs."""
    program = (
        "import sys\n"
        "from aperf._spans import span, instrument\n"
        "with span('x'): pass\n"
        "instrument(lambda: None)()\n"
        "heavy = 'asyncio', 'opentelemetry', 'threading', 'typing', 'inspect', 'aperf._recorder'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    command = [sys.executable, "-S", "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=paths())
    assert ("[]\n", "") == (found.stdout, found.stderr)


def paths() -> dict[str, str]:
    """Return an environment in which a Python without site-packages finds aperf alone."""
    return {"PYTHONPATH": aperf._spans.__file__.rpartition("/aperf/")[0]}

"""Which twin runs, and that the one that is expected is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import aperf
from aperf._recorder import Cold, _py
from tests.isolated import run_isolated
from tests.twins import HAS_CORE, recorder_of

if TYPE_CHECKING:
    from aperf._recorder import Recorder


@pytest.mark.skipif("APERF_TEST_EXPECT" not in os.environ, reason="nox says what to expect")
def test_the_expected_twin_is_tested() -> None:
    """A session that is to test the native core must not pass without it, nor the other way."""
    expected = os.environ["APERF_TEST_EXPECT"]
    assert (expected, expected == "c") == (aperf.IMPLEMENTATION, HAS_CORE)


@pytest.mark.parametrize(("value", "forced"), [("1", True), ("0", False), ("", False)])
def test_the_native_twin_is_chosen_unless_python_is_forced(value: str, forced: bool) -> None:
    """`APERF_PURE_PYTHON` decides; without a native core there is nothing to choose."""
    program = "import aperf; print(aperf.IMPLEMENTATION)"
    expected = "c" if HAS_CORE and not forced else "python"
    assert f"{expected}\n" == run_isolated(program, APERF_PURE_PYTHON=value)


def test_a_core_that_cannot_be_imported_is_done_without() -> None:
    """aperf works where the native core does not load."""
    program = """
        import sys
        sys.modules["aperf._recorder._core"] = None
        import aperf
        print(aperf.IMPLEMENTATION)
    """
    assert "python\n" == run_isolated(program)


def test_the_twins_have_the_same_methods(recorder_class: type[Recorder]) -> None:
    """What callers use of one is there on the other."""
    public = {
        "adopt", "current", "drain", "dropped", "fault", "hook", "intern", "live", "next_id",
        "now_ns", "put", "resolve", "set_time_ns", "sweep", "threads", "used", "wrap",
    }  # fmt: skip
    recorder = recorder_class(Cold(), ring_slots=64)
    assert set() == {name for name in public if not callable(getattr(recorder, name, None))}
    attributes = {"armed", "cold", "internal_errors", "nesting"}
    assert set() == {name for name in attributes if not hasattr(recorder, name)}


def test_both_twins_are_distinct() -> None:
    """The tests that run for both really do."""
    assert _py.Recorder is recorder_of("python")
    if HAS_CORE:
        assert recorder_of("c") is not recorder_of("python")

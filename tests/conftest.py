"""What all tests have in common: both twins, all loops, and nothing left behind."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest
import uvloop

import aperf
from tests.twins import IMPLEMENTATIONS, recorder_of
from tests.watched import LoopFactory, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder

# A shell lets commands in the background ignore SIGINT, and programs that tests start would inherit
# that; some of them are about Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)

# ---------------------------------------------------------------------------------- what runs where

#: Tests of pure code, the same on every Python and beside either core, that take long.
_ONCE: Final = (
    "tests/protocol/",
    "tests/exporters/tracy/map/test_any_",
    "tests/integration/test_service.py",
    "tests/integration/test_tracy_capture.py",
    "tests/test_pytracy.py",
    "tests/otel/test_listener",
    # These wait for the clock: receivers that are slow, dead or stalled.
    "tests/exporters/test_otlp_http.py",
    "tests/exporters/test_otlp_several.py",
    "tests/otel/test_log_export_failures.py",
    "tests/otel/test_metrics_push.py",
    "tests/runtime/test_faults.py",
    "tests/runtime/test_faulty_receivers.py",
    "tests/runtime/test_sdk_guarantees.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what one Python is enough for, being pure code or long: nox runs it on the newest."""
    for item in items:
        if any(part in item.path.as_posix() for part in _ONCE):
            item.add_marker("once")


# --------------------------------------------------------------------------------------- both twins


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request: pytest.FixtureRequest) -> str:
    """The name of one of the recorder's twins."""
    name: str = request.param
    return name


@pytest.fixture
def recorder_class(implementation: str) -> type[Recorder]:
    """The recorder of that twin."""
    return recorder_of(implementation)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch, recorder_class: type[Recorder]) -> type[Recorder]:
    """Make the sessions that a test opens use that twin."""
    monkeypatch.setattr("aperf._runtime.Recorder", recorder_class)
    return recorder_class


# ---------------------------------------------------------------------------------------- all loops


def eager_loop() -> asyncio.AbstractEventLoop:
    """Return a loop whose tasks run their first step inside create_task."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    return loop


LOOPS: Final[dict[str, LoopFactory]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
    **({"eager": eager_loop} if sys.version_info >= (3, 12) else {}),
}


@pytest.fixture(params=LOOPS)
def loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes loops of one kind: asyncio's, uvloop's, or asyncio's with eager tasks (3.12+)."""
    return LOOPS[request.param]


@pytest.fixture(params=[name for name in LOOPS if name != "eager"])
def lazy_loop_factory(request: pytest.FixtureRequest) -> LoopFactory:
    """Makes loops whose tasks start when the loop comes to them: asyncio's and uvloop's."""
    return LOOPS[request.param]


# ------------------------------------------------------------------------------ nothing left behind

_LOCKS: Final = (asyncio.Lock, asyncio.Semaphore, asyncio.Queue)
_PREFIXES: Final = ("APERF_", "OTEL_", "TELEMETRY_", "TRACY_")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(_PREFIXES)}


def _own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("aperf-")]


def _monitoring_tools() -> list[str | None]:
    monitoring: Any = getattr(sys, "monitoring", None)  # 3.12+
    return [] if monitoring is None else [monitoring.get_tool(number) for number in range(6)]


@pytest.fixture(autouse=True)
def nothing_left_installed() -> Iterator[None]:
    """After each test aperf is off, and whatever it had its hands on is as it was before."""
    patched = (asyncio.BaseEventLoop, uvloop.Loop)
    constructors = [vars(cls).get("__init__") for cls in patched]
    finders, environment = list(sys.meta_path), _environment()
    yield
    assert not aperf.is_active()
    assert constructors == [vars(cls).get("__init__") for cls in patched]
    assert finders == sys.meta_path
    assert "aperf" not in _monitoring_tools()
    assert not [cls for cls in _LOCKS if "_get_loop" in vars(cls)]
    assert "logging" == logging.Logger.callHandlers.__module__
    assert environment == _environment()
    until(lambda: not _own_threads(), f"the end of {_own_threads()}")

"""Whatever a program says, in any version, a viewer reads back as it was said."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from aperf.protocol.tracy import VERSIONS, Strings
from aperf.protocol.tracy._server import Trace
from tests.tracy_cases.basics import FETCH
from tests.tracy_cases.every import CASES
from tests.tracy_cases.marks import messages, plots
from tests.tracy_cases.program import samples
from tests.tracy_cases.resources import gpu, locks
from tests.tracy_cases.rows import fibers, nested_zones, zone_with_stack
from tests.tracy_pair import WELCOME, Pair

if TYPE_CHECKING:
    from tests.tracy_cases.basics import Case


def _matrix() -> list[Any]:
    return [
        pytest.param(version, says, id=f"{version}-{says.__name__}")
        for version in VERSIONS
        for says in CASES
    ]


@pytest.mark.parametrize(("version", "says"), _matrix())
def test_reads_what_was_said(version: int, says: Case) -> None:
    """What is said is read back, no more and no less, in every version."""
    pair = Pair(version)
    expected = says(pair.stream, pair.strings)
    trace = pair.finish()
    assert trace.welcome is not None
    assert Trace(welcome=trace.welcome, **expected) == trace
    assert 0 == pair.stream.repairs


@pytest.mark.parametrize("version", VERSIONS)
def test_all_in_one(version: int) -> None:
    """All of that on one connection, in pieces of seven bytes, is understood too."""
    pair = Pair(version, piece=7)
    for says in (nested_zones, fibers, messages, plots, locks, gpu, samples):
        says(pair.stream, pair.strings)
    trace = pair.finish()
    assert () == trace.failures + trace.undiagnosed
    assert 8 == len(trace.messages)


@pytest.mark.parametrize("version", VERSIONS)
def test_welcome(version: int) -> None:
    """What a program says of itself is read, cut to the room there is."""
    welcome = replace(
        WELCOME, begin_ns=17, program="ü" * 40, host="a\nb", sampling_period_ns=9, executable_s=11
    )
    received = Pair(version, welcome=welcome).server.trace.welcome
    assert received is not None
    assert (17, 17) == (received.begin_ns, received.first_frame_ns)
    assert (1_700_000_000, 4321, 11) == (received.epoch_s, received.pid, received.executable_s)
    assert ("ü" * 31, "a\nb") == (received.program, received.host)
    assert (9, True, False) == (
        received.sampling_period_ns, received.on_demand, received.code_transfer
    )  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_source_files(version: int) -> None:
    """A viewer gets the texts of the files that places and frames name, if that is allowed."""
    texts = {"app.py": b"import this\n", "a.py": "ä = 1".encode()}
    welcome = replace(WELCOME, executable_s=1, code_transfer=True)
    pair = Pair(version, Strings(sources=texts.get), welcome=welcome)
    nested_zones(pair.stream, pair.strings)
    zone_with_stack(pair.stream, pair.strings)
    assert {"app.py": "import this\n", "a.py": "ä = 1"} == pair.finish().sources


@pytest.mark.parametrize("version", VERSIONS)
def test_parameters(version: int) -> None:
    """What the viewer's user changes arrives."""
    pair = Pair(version)
    for index, value in ((0, 5), (3, -1), (2, -(1 << 31))):
        pair.server.set_parameter(index, value)
    pair.stream.keep_alive()
    pair.exchange()
    assert {0: 5, 3: -1, 2: -(1 << 31)} == pair.stream.parameters


@pytest.mark.parametrize("version", VERSIONS)
def test_next_viewer(version: int) -> None:
    """A viewer that connects after another one gets all names again."""
    strings = Strings()
    for _ in range(2):
        pair = Pair(version, strings)
        expected = messages(pair.stream, pair.strings)
        trace = pair.finish()
        assert expected["messages"] == trace.messages
        assert expected["fibers"] == trace.fibers


@pytest.mark.parametrize("version", VERSIONS)
def test_open_zones(version: int) -> None:
    """The end of the program ends what is open, on threads and on fibers."""
    pair = Pair(version)
    fetch = pair.strings.source(*FETCH)
    for fiber in (1, 2):
        pair.stream.thread(fiber)
        pair.stream.zone_begin(5, fetch)
        pair.stream.fiber_enter(10, fiber)
        pair.stream.zone_begin(10, fetch)
    pair.stream.fiber_leave(20)
    trace = pair.finish(100)
    ends = [(zone.start_ns, zone.end_ns) for zone in trace.zones()]
    assert [(5, 100), (5, 100), (10, 100), (10, 100)] == ends

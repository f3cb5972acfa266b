"""Any program, in any version: read back as it was said; repaired or refused where it is wrong."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from aperf.protocol.tracy import VERSIONS, LocalProtocolError, Stream, Strings
from tests.tracy_pair import Pair
from tests.tracy_program import END, SOURCES, Program

_TIME: Final = st.integers(0, 200) | st.integers(0, END)
_LENGTH: Final = st.integers(0, 200) | st.integers(0, 1 << 34)
_ID: Final = st.integers(0, 3)
_SOURCE: Final = st.sampled_from(SOURCES)
#: Texts of all lengths; what UTF-8 cannot express is not read back as it was.
_TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=20) | st.integers(250, 70_000).map(
    lambda size: "x" * min(size, 65_534)
)
_COLOR: Final = st.none() | st.integers(0, 0xFFFFFF)


class AnyProgram(RuleBasedStateMachine):
    """Does everything that a program may do; the viewer must have read that and nothing else."""

    program: Program

    @initialize(version=st.sampled_from(VERSIONS), piece=st.sampled_from([0, 0, 1, 1000]))
    def start(self, version: int, piece: int) -> None:
        self.program = Program(version, piece)

    @rule(tid=_ID)
    def thread(self, tid: int) -> None:
        self.program.thread(tid)

    @rule(t_ns=_TIME, source=_SOURCE, with_stack=st.booleans())
    def begin(self, t_ns: int, source: Any, with_stack: bool) -> None:
        self.program.begin(t_ns, source, with_stack)

    @rule(t_ns=_TIME, source=_SOURCE)
    def begin_inline(self, t_ns: int, source: Any) -> None:
        self.program.begin_inline(t_ns, source)

    @precondition(lambda self: self.program.open)
    @rule(length_ns=_LENGTH)
    def end(self, length_ns: int) -> None:
        self.program.end(length_ns)

    @rule(t_ns=_TIME, length_ns=_LENGTH, source=_SOURCE)
    def whole(self, t_ns: int, length_ns: int, source: Any) -> None:
        self.program.whole(t_ns, length_ns, source)

    @precondition(lambda self: self.program.open)
    @rule(
        text=_TEXT,
        name=st.none() | _TEXT,
        color=_COLOR,
        value=st.none() | st.integers(0, (1 << 64) - 1),
    )
    def describe(self, text: str, name: str | None, color: int | None, value: int | None) -> None:
        self.program.describe(text, name, color, value)

    @rule(t_ns=_TIME, fiber=_ID)
    def enter(self, t_ns: int, fiber: int) -> None:
        if fiber not in self.program.running.values():
            self.program.enter(t_ns, fiber)

    @precondition(lambda self: self.program.tid in self.program.running)
    @rule(t_ns=_TIME)
    def leave(self, t_ns: int) -> None:
        self.program.leave(t_ns)

    @precondition(lambda self: self.program.tid not in self.program.running)
    @rule(wait_ns=_LENGTH, run_ns=_LENGTH, fiber=_ID, source=_SOURCE)
    def step(self, wait_ns: int, run_ns: int, fiber: int, source: Any) -> None:
        if self.program.waits(fiber):
            self.program.step(wait_ns, run_ns, fiber, source)

    @rule(t_ns=_TIME, text=_TEXT, severity=st.integers(0, 5), color=_COLOR)
    def message(self, t_ns: int, text: str, severity: int, color: int | None) -> None:
        self.program.message(t_ns, text, severity, color)

    @rule(
        name=st.sampled_from(["queue", "load"]),
        t_ns=_TIME,
        value=st.integers(-(1 << 63), (1 << 63) - 1)
        | st.floats(allow_nan=False, allow_infinity=False),
    )
    def plot(self, name: str, t_ns: int, value: float) -> None:
        self.program.plot(name, t_ns, value)

    @rule(name=st.sampled_from(["", "tick"]), later_ns=_LENGTH)
    def mark(self, name: str, later_ns: int) -> None:
        self.program.mark(name, later_ns)

    @rule(later_ns=_LENGTH)
    def sub_frame(self, later_ns: int) -> None:
        self.program.sub_frame(later_ns)

    @rule(lock=_ID, tid=_ID, later_ns=_LENGTH)
    def use_lock(self, lock: int, tid: int, later_ns: int) -> None:
        self.program.use_lock(lock, tid, later_ns)

    @rule(
        pool=st.sampled_from(["", "cache"]),
        address=_ID,
        tid=_ID,
        later_ns=_LENGTH,
        size=st.integers(0, (1 << 48) - 1),
    )
    def use_memory(self, pool: str, address: int, tid: int, later_ns: int, size: int) -> None:
        self.program.use_memory(pool, address, tid, later_ns, size)

    @rule(tid=st.integers(1, 3), t_ns=_TIME, length_ns=_LENGTH, times=st.tuples(_TIME, _TIME))
    def use_device(self, tid: int, t_ns: int, length_ns: int, times: tuple[int, int]) -> None:
        self.program.use_device(tid, t_ns, length_ns, times)

    @rule()
    def exchange(self) -> None:
        """Let the viewer read and ask."""
        self.program.pair.exchange()

    def teardown(self) -> None:
        trace = self.program.finish()
        expected = self.program.expected()
        got = dataclasses.replace(trace, welcome=None, symbols={}, frame_sets=())
        assert dataclasses.replace(expected, frame_sets=()) == got
        in_order = sorted(trace.frame_sets, key=lambda one: one.name)
        assert sorted(expected.frame_sets, key=lambda one: one.name) == in_order


TestAnyProgram = AnyProgram.TestCase
TestAnyProgram.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# ------------------------------------------------------------------------------------------- misuse

_ANY_TIME: Final = st.integers(0, 50) | st.integers(0, END)
_TEXT_ID: Final = st.integers(0, 4)
_FRAMES: Final = st.lists(st.integers(1 << 32, (1 << 32) + 3), max_size=3)
_BYTE: Final = st.integers(0, 3)

#: What the methods of a stream may be called with, in any order.
_CALLS: Final[dict[str, tuple[st.SearchStrategy[Any], ...]]] = {
    "thread": (_ID,),
    "thread_group": (_ID, _ID),
    "fiber_enter": (_ANY_TIME, _ID, _ID),
    "fiber_leave": (_ANY_TIME,),
    "zone": (_ANY_TIME, _ANY_TIME, _ID),
    "zone_begin": (_ANY_TIME, _ID, _FRAMES),
    "zone_begin_inline": (_ANY_TIME, _TEXT, st.text(), st.text(), _ID, _ID),
    "zone_end": (_ANY_TIME,),
    "step": (_ANY_TIME, _ANY_TIME, _ID, _ID, _ID),
    "zone_text": (st.text(),),
    "zone_name": (_TEXT,),
    "zone_color": (st.integers(0, 0xFFFFFF),),
    "zone_value": (st.integers(),),
    "end_all": (_ANY_TIME,),
    "message": (_ANY_TIME, st.text(), st.integers(-1, 6), _COLOR, _FRAMES),
    "message_literal": (_ANY_TIME, _TEXT_ID, st.integers(-1, 6), _COLOR, _FRAMES),
    "app_info": (_ANY_TIME, _TEXT),
    "plot": (_TEXT_ID, _ANY_TIME, st.integers() | st.floats()),
    "plot_config": (
        _TEXT_ID,
        st.sampled_from(["number", "memory", "no format"]),
        st.booleans(),
        st.booleans(),
        st.integers(0, 0xFFFFFF),
    ),
    "frame_mark": (_ANY_TIME, _TEXT_ID),
    "frame_begin": (_ANY_TIME, _TEXT_ID),
    "frame_end": (_ANY_TIME, _TEXT_ID),
    "frame_image": (
        _ID,
        st.sampled_from([0, 3, 4]),
        st.sampled_from([0, 4, 8]),
        st.sampled_from([b"", bytes(8), bytes(16)]),
    ),
    "lock_announce": (_ID, _ANY_TIME, _ID, st.booleans()),
    "lock_name": (_ID, _TEXT),
    "lock_terminate": (_ID, _ANY_TIME),
    "lock_mark": (_ID, _ID, _ID),
    **{
        f"lock_{what}": (_ID, _ID, _ANY_TIME)
        for what in (
            "wait",
            "obtain",
            "release",
            "shared_wait",
            "shared_obtain",
            "shared_release",
            "give_up",
        )
    },
    "mem_alloc": (_ANY_TIME, _ID, _BYTE, st.integers(0, 1 << 48), _TEXT_ID, _FRAMES),
    "mem_free": (_ANY_TIME, _ID, _BYTE, _TEXT_ID, _FRAMES),
    "mem_discard": (_ANY_TIME, _ID, _TEXT_ID, _FRAMES),
    "gpu_context": (_BYTE, _ANY_TIME, _ANY_TIME, _ID),
    "gpu_name": (_BYTE, _TEXT),
    "gpu_begin": (_ANY_TIME, _ID, _BYTE, _BYTE, _ID, _FRAMES),
    "gpu_begin_inline": (_ANY_TIME, _ID, _BYTE, _BYTE, st.text(), st.text(), st.text(), _ID),
    "gpu_end": (_ANY_TIME, _ID, _BYTE, _BYTE),
    "gpu_time": (_BYTE, _BYTE, _ANY_TIME),
    "gpu_calibration": (_BYTE, _ANY_TIME, _ANY_TIME, _ANY_TIME),
    "gpu_time_sync": (_BYTE, _ANY_TIME, _ANY_TIME),
    "gpu_annotation_name": (_BYTE, _ID, _TEXT),
    "gpu_annotation": (_BYTE, _ID, _BYTE, _ID, st.floats()),
    "sample": (_ANY_TIME, _ID, _FRAMES),
    "context_switch": (_ANY_TIME, _ID, _ID, _BYTE),
    "thread_wakeup": (_ANY_TIME, _ID, _BYTE),
    "cpu_topology": (_ID, _ID, _ID, _ID),
    "section_setup": (_ID, _TEXT),
    "section_enter": (_ANY_TIME, _ID, _TEXT, _ID),
    "section_leave": (_ANY_TIME, _ID),
    "sys_time": (_ANY_TIME, st.floats(width=32)),
    "sys_power": (_ANY_TIME, _ID, _TEXT_ID),
    "param_setup": (_ID, _TEXT_ID, st.sampled_from(["int", "bool", "trigger", "no kind"]), _ID),
    "keep_alive": (),
}

_ANY_CALLS: Final = st.lists(
    st.sampled_from(sorted(_CALLS)).flatmap(
        lambda name: st.tuples(st.just(name), st.tuples(*_CALLS[name]))
    ),
    max_size=60,
)


def test_all_calls_are_tried() -> None:
    """No method of a stream is left out below."""
    not_events = {"answer", "take", "terminate"}
    not_events |= {"crash", "frame_vsync", "hardware_sample", "thread_process"}  # cannot be misused
    methods = {
        name for name in dir(Stream) if not name.startswith("_") and callable(getattr(Stream, name))
    }
    assert methods - not_events == set(_CALLS)


@pytest.mark.parametrize("strict", [True, False])
@example(
    version=72,
    calls=[
        ("gpu_context", (1, 0, 0, 0)),
        ("gpu_begin", (1, 3, 1, 1, 1, [])),
        ("thread_group", (3, 1)),  # of a thread that is known by that alone, thus not at all
    ],
)
@example(version=72, calls=[("zone_begin", (5, 1)), ("zone_end", (4,))])  # refused: still open
@given(version=st.sampled_from(VERSIONS), calls=_ANY_CALLS)
@settings(max_examples=150, deadline=None)
def test_any_calls(strict: bool, version: int, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Whatever is called, right or wrong, no viewer would fail, crash or hang.

    A strict stream refuses what is wrong, another one repairs it.
    """
    strings = Strings()
    for number in range(3):
        strings.source("", f"function {number}", "a.py", number)
        strings.text(f"text {number}")
        strings.frame(f"function {number}", "a.py", number)
    pair = Pair(version, strings, strict=strict)
    for name, arguments in calls:
        try:
            getattr(pair.stream, name)(*arguments)
        except LocalProtocolError:
            assert strict
    trace = pair.finish()
    assert ((), ()) == (trace.failures, trace.undiagnosed)

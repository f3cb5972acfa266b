"""The ring, from outside: what is put comes out, in order, whole, or is counted as lost."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from aperf._recorder import MAX_PAYLOAD, SLOT, Cold, Kind
from aperf._recorder._layout import URGENT
from tests.records import Record, decode, decode_ring, of_kind

if TYPE_CHECKING:
    from aperf._recorder import Recorder

SLOTS: Final = 64  # the smallest ring
FOR_ORDINARY: Final = SLOTS - SLOTS // 8

ORDINARY_KINDS: Final = (Kind.FAILURE, Kind.MORE, Kind.EVENT, Kind.ATTRIBUTE, Kind.JOB, Kind.CALL)
URGENT_KINDS: Final = (Kind.BIRTH, Kind.NAME, Kind.ABANDON, Kind.OPEN, Kind.CLOSE)

kinds = st.sampled_from(ORDINARY_KINDS + URGENT_KINDS)
payloads = st.binary(max_size=MAX_PAYLOAD)
words = st.integers(0, (1 << 64) - 1)


class RingMachine(RuleBasedStateMachine):
    """A ring beside what it promises."""

    recorder_class: type[Recorder]

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.recorder = self.recorder_class(
            Cold(half_full=self.half_full), ring_slots=SLOTS, manual_clock=True
        )
        self.time_ns = 0
        #: what must come out: records, and how many slots of the first one are out already
        self.expected: deque[Record] = deque()
        self.used = self.lost = self.dropped = self.written = 0
        self.expected_calls = 0
        self.warned = False
        self.rest = b""

    def half_full(self) -> None:
        self.calls += 1

    @rule(kind=kinds, flags=st.integers(0, 0xFFFF), ref=st.integers(0, 0xFFFF_FFFF),
          a=words, b=words, payload=payloads)  # fmt: skip
    def put(self, kind: Kind, flags: int, ref: int, a: int, b: int, payload: bytes) -> None:
        """Whoever finds no room for all of an event, and for the mark of those lost, drops it."""
        self.time_ns += 1
        slots = 1 + -(-len(payload) // SLOT)
        room = (SLOTS if kind in URGENT else FOR_ORDINARY) - self.used
        fits = room >= slots + bool(self.lost)
        written = self.recorder.put(kind, flags, ref, a, b, payload, t_ns=self.time_ns)
        assert fits == written
        if not fits:
            self.lost += 1
            self.dropped += 1
        else:
            if self.lost:
                self.expect(Record(Kind.LOST, 0, 0, self.lost, 0, b"", self.time_ns, 0))
                self.lost = 0
            padded = payload.ljust((slots - 1) * SLOT, b"\0")
            self.expect(Record(kind, flags, ref, a, b, padded, self.time_ns, 0))
            self.written += 1
        if not self.warned and 2 * self.used > SLOTS:
            self.warned = True
            self.expected_calls += 1

    def expect(self, record: Record) -> None:
        self.expected.append(record)
        self.used += 1 + len(record.payload) // SLOT

    @rule(kind=kinds, slots=st.integers(1, 8), times=st.integers(1, 20))
    def burst(self, kind: Kind, slots: int, times: int) -> None:
        """Many of a kind fill the ring."""
        for number in range(times):
            self.put(kind, 0, number, number, times, bytes([number]) * ((slots - 1) * SLOT))

    @rule(bite=st.integers(1, 2 * SLOTS))
    def drain(self, bite: int) -> None:
        """A bite may end in the middle of an event; its rest comes with the next."""
        taken = min(bite, self.used)
        chunks = self.recorder.drain(bite)
        if not taken:
            assert [] == chunks
            return
        [(index, data)] = chunks
        assert 0 == index
        assert taken * SLOT == len(data)
        self.used -= taken
        self.warned = 2 * self.used > SLOTS
        self.compare(self.rest + data)

    def compare(self, data: bytes) -> None:
        while data and len(data) >= data[9] * SLOT:
            size = data[9] * SLOT
            assert [self.expected.popleft()] == decode_ring(data[:size])
            data = data[size:]
        self.rest = data

    @invariant()
    def counters_are_exact(self) -> None:
        """What waits and what was lost is known at any time."""
        assert self.used == self.recorder.used()
        assert self.dropped == self.recorder.dropped()
        assert self.expected_calls == self.calls

    def teardown(self) -> None:
        while self.used:
            self.drain(7)
        assert b"" == self.rest
        assert not self.expected


def test_promises_of_the_ring(recorder_class: type[Recorder]) -> None:
    """Written plus dropped is all; in order, never torn; every gap marked with its exact size."""
    machine = type("Machine", (RingMachine,), {"recorder_class": recorder_class})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=60, stateful_step_count=50, deadline=None)
    )


def small(recorder_class: type[Recorder], **options: Any) -> Recorder:
    """Return a recorder with the smallest ring."""
    return recorder_class(Cold(**options), ring_slots=SLOTS, manual_clock=True)


@pytest.mark.parametrize("kind", ORDINARY_KINDS, ids=lambda kind: kind.name)
def test_the_last_eighth_is_closed_to_what_others_do_not_depend_on(
    recorder_class: type[Recorder], kind: Kind
) -> None:
    """An ordinary event is dropped while births and ends still find room."""
    recorder = small(recorder_class)
    written = [recorder.put(kind, 0, 0, 1, 0) for _ in range(SLOTS)]
    assert [True] * FOR_ORDINARY + [False] * (SLOTS - FOR_ORDINARY) == written
    assert recorder.put(Kind.BIRTH, 0, 0, 2, 0)
    assert [SLOTS - FOR_ORDINARY] == [r.a for r in of_kind(decode(recorder), Kind.LOST)]


@pytest.mark.parametrize("kind", URGENT_KINDS, ids=lambda kind: kind.name)
def test_the_last_eighth_is_open_to_what_others_depend_on(
    recorder_class: type[Recorder], kind: Kind
) -> None:
    """Births, names and ends use the ring to its last slot."""
    recorder = small(recorder_class)
    written = [recorder.put(kind, 0, 0, 1, 0) for _ in range(SLOTS + 1)]
    assert [True] * SLOTS + [False] == written


def test_goes_around(recorder_class: type[Recorder]) -> None:
    """Events lie across the end of the buffer as they lie anywhere else."""
    recorder = small(recorder_class)
    for number in range(10 * SLOTS):
        payload = number.to_bytes(4, "little") * (MAX_PAYLOAD // 4)
        assert recorder.put(Kind.ATTRIBUTE, 0, 0, number, 0, payload)
        [record] = decode(recorder)
        assert (number, payload) == (record.a, record.payload)
    assert 0 == recorder.dropped()


def test_half_full_is_told_once_for_each_time_that_it_becomes_so(
    recorder_class: type[Recorder],
) -> None:
    """The reader is called when the ring becomes half full, and again after it had been read."""
    calls: list[int] = []
    recorder: Recorder = small(recorder_class, half_full=lambda: calls.append(recorder.used()))
    for _ in range(SLOTS):
        recorder.put(Kind.BIRTH, 0, 0, 1, 0)
    assert [SLOTS // 2 + 1] == calls
    recorder.drain(SLOTS // 4)  # still more than half
    recorder.put(Kind.BIRTH, 0, 0, 1, 0)
    assert [SLOTS // 2 + 1] == calls
    recorder.drain(SLOTS)
    for _ in range(SLOTS):
        recorder.put(Kind.BIRTH, 0, 0, 1, 0)
    assert [SLOTS // 2 + 1] * 2 == calls


def test_a_loss_is_marked_with_the_time_of_what_follows_it(recorder_class: type[Recorder]) -> None:
    """The mark stands where the gap ends, so records stay in the order of time."""
    recorder = small(recorder_class)
    recorder.set_time_ns(10)
    for _ in range(SLOTS + 3):
        recorder.put(Kind.EVENT, 0, 0, 1, 0)
    recorder.drain(SLOTS)
    recorder.set_time_ns(20)
    recorder.put(Kind.EVENT, 0, 0, 2, 0)
    lost, after = decode(recorder)
    lost_events = SLOTS + 3 - FOR_ORDINARY
    assert (Kind.LOST, lost_events, 20) == (lost.kind, lost.a, lost.t_ns)
    assert (Kind.EVENT, 2, 20) == (after.kind, after.a, after.t_ns)

"""Which records are kept for a viewer, and what is still known of those that are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aperf._recorder._layout import (
    SLOT,
    BirthFlag,
    FrameOp,
    GpuOp,
    Kind,
    LockFlag,
    LockOp,
    StepFlag,
)
from aperf.exporters._tracy import _baseline
from aperf.exporters._tracy._baseline import Baseline, Born, OpenSpan
from aperf.exporters._tracy._history import Block, Gap, History, Reader
from tests.records import Record, decode_ring
from tests.tracy_records import FakeTables, birth, chunk, opened, record, step, wide

if TYPE_CHECKING:
    from collections.abc import Iterable

S = 10**9


def history(most_bytes: int = 1 << 20, most_ns: int = 10 * S) -> History:
    """Return a history of usual size, or of that one."""
    return History(most_bytes, most_ns)


def put(kept: History, *events: bytes, ring: int = 0, tables: FakeTables | None = None) -> None:
    """Append some events."""
    kept.append(chunk(ring, b"".join(events), tables or FakeTables()))


def rest_of(reader: Reader) -> dict[int, bytes]:
    """Read all there is; return the slots of each ring."""
    rings = dict(reader.baseline.rests)
    while (block := reader.read()) is not None:
        assert isinstance(block, Block)
        for ring, data in block.pieces(2):
            rings[ring] = rings.get(ring, b"") + data
    return rings


# ------------------------------------------------------------------------------------ what is kept


def test_a_reader_gets_everything_in_order() -> None:
    """A viewer that connects is shown all that is kept, then what comes."""
    kept = history()
    put(kept, birth(1), step(1))
    put(kept, birth(2), ring=1)
    reader = kept.open()
    first = reader.read()
    assert isinstance(first, Block)
    assert [(0, birth(1) + step(1)), (1, birth(2))] == list(first.pieces(1 << 20))
    assert reader.read() is None
    put(kept, step(2), ring=1)
    assert {1: step(2)} == rest_of(reader)


def test_old_records_go() -> None:
    """Without a viewer, records are kept for as long as asked."""
    kept, tables = history(most_ns=10 * S), FakeTables()
    for second in range(30):
        tables.t_ns = second * S
        put(kept, step(second + 1, second * S), tables=tables)
    [(_, data)] = rest_of(kept.open()).items()
    times = [event.t_ns // S for event in decode_ring(data)]
    assert times == list(range(times[0], 30))
    assert 10 <= len(times) <= 12


def test_memory_is_bounded() -> None:
    """No more is kept than there is memory for; an eighth of it is for the time of a viewer."""
    kept = history(most_bytes=1 << 16)
    for number in range(10_000):
        put(kept, step(number + 1))
    data = rest_of(kept.open())[0]
    assert (1 << 16) * 6 // 8 < len(data) + 8 * 512 < 1 << 16
    assert 10_000 == decode_ring(data)[-1].task


def test_the_reserve_spares_a_new_reader() -> None:
    """What is recorded while a viewer begins to read does not overtake it."""
    kept = history(most_bytes=1 << 16)
    for number in range(4_000):
        put(kept, step(number + 1))
    reader = kept.open()
    for number in range(100):
        put(kept, step(5_000 + number))
    assert isinstance(reader.read(), Block)
    assert 0 == kept.gaps


def test_a_reader_keeps_what_is_only_too_old() -> None:
    """What a viewer has not been shown goes for lack of memory, not for its age."""
    kept, tables = history(), FakeTables()
    put(kept, step(1), tables=tables)
    reader = kept.open()
    tables.t_ns = 100 * S
    put(kept, step(2), tables=tables)
    assert {0: step(1) + step(2)} == rest_of(reader)


def test_a_reader_that_is_overtaken_is_told_how_much_it_missed() -> None:
    """A slow viewer learns what it misses, and what is in force where it goes on."""
    kept, tables = history(most_bytes=1 << 13), FakeTables()
    put(kept, birth(1, 5, "kept"), tables=tables)
    reader = kept.open()
    read = reader.read()
    assert isinstance(read, Block)
    for number in range(1_000):
        tables.t_ns = number
        put(kept, birth(2 + number, number), step(2 + number, number, done=True), tables=tables)
    gap = reader.read()
    assert isinstance(gap, Gap)
    first = reader.read()
    assert isinstance(first, Block)
    left = b"".join(data for _, data in first.pieces(1 << 20)) + rest_of(reader)[0]
    events = decode_ring(left)
    assert 2_000 == gap.records + len(events)
    assert gap.records == kept.dropped_records
    assert gap.t_ns == min(event.t_ns for event in events)
    assert "kept" == reader.baseline.born[1].name
    assert 1 == kept.gaps


def test_an_event_cut_by_the_border_is_whole_for_the_reader() -> None:
    """The begin of an event whose end is still kept comes with the baseline."""
    kept = history(most_bytes=1 << 12)
    event = birth(1, 0, "a name of several slots " * 4)
    data, cuts = event * 99, 0
    for start in range(0, len(data), 7 * SLOT):
        put(kept, data[start : start + 7 * SLOT])
        reader = kept.open()
        left = rest_of(reader)[0]
        reader.close()
        cuts += bool(reader.baseline.rests)
        assert data[: len(left)] == left
    assert cuts > 10


@pytest.mark.parametrize("rings", [1, 2])
def test_the_oldest_time_covers_everything_shown(rings: int) -> None:
    """A viewer's trace begins before the oldest task alive, but not more than a day ago."""
    kept, tables = history(most_bytes=1 << 12), FakeTables(100 * S)
    put(kept, birth(1, 50 * S), tables=tables)
    for number in range(1_000):
        put(kept, step(1, 99 * S + number), tables=tables, ring=number % rings)
    assert 50 * S == kept.open().baseline.begin_ns
    tables.t_ns = 100_000 * S
    assert (100_000 - 24 * 3600) * S == kept.open().baseline.begin_ns


def test_an_empty_history_can_be_read() -> None:
    """A viewer may connect before anything was recorded."""
    reader = history().open()
    assert reader.read() is None


def test_what_was_taken_is_known_to_be_sent_or_not() -> None:
    """A flush waits for a viewer, and for nobody where there is none."""
    kept = history()
    put(kept, step(1))
    assert kept.wait_until_sent(kept.mark(), 0)
    reader = kept.open()
    mark = kept.mark()
    assert not kept.wait_until_sent(mark, 0)
    assert isinstance(reader.read(), Block)
    reader.done(reader.next)
    assert kept.wait_until_sent(mark, 0)
    put(kept, step(2))
    later = kept.mark()
    assert not kept.wait_until_sent(later, 0)
    reader.close()
    assert kept.wait_until_sent(later, 0)


def test_the_baseline_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where ends were lost the oldest tasks are forgotten, and counted."""
    monkeypatch.setattr(_baseline, "MOST", 10)
    baseline = Baseline()
    baseline.take(0, b"".join(birth(number) for number in range(1, 15)), FakeTables())
    assert list(range(5, 15)) == list(baseline.born)
    assert 4 == baseline.forgotten


# --------------------------------------------------------------------------------- what is in force


def lock(operation: LockOp, owner: int = 0, *, number: int = 1, t_ns: int = 0) -> bytes:
    """Return an event of a lock."""
    return record(Kind.LOCK, t_ns, flags=operation | LockFlag.SHARED, ref=1, a=number, b=owner)


ANNOUNCED = lock(LockOp.ANNOUNCE)
WAITS_1, HAS_1, GIVES_BACK_1 = (lock(op, 1) for op in (LockOp.WAIT, LockOp.OBTAIN, LockOp.RELEASE))
WAITS_2, HAS_2, GIVES_BACK_2 = (lock(op, 2) for op in (LockOp.WAIT, LockOp.OBTAIN, LockOp.RELEASE))


@pytest.mark.parametrize(
    ("events", "in_force"),
    [
        ([ANNOUNCED, WAITS_1], [ANNOUNCED, WAITS_1]),
        ([ANNOUNCED, WAITS_1, HAS_1, WAITS_2], [ANNOUNCED, HAS_1, WAITS_2]),
        ([ANNOUNCED, HAS_1, WAITS_2, lock(LockOp.GIVE_UP, 2)], [ANNOUNCED, HAS_1]),
        ([ANNOUNCED, HAS_1, WAITS_2, GIVES_BACK_1, HAS_2], [ANNOUNCED, HAS_2]),
        ([ANNOUNCED, HAS_1, HAS_2, lock(LockOp.RELEASE, 3)], [ANNOUNCED, HAS_2]),
        ([ANNOUNCED, HAS_1, HAS_1, GIVES_BACK_1], [ANNOUNCED, HAS_1]),
        ([ANNOUNCED, lock(LockOp.RELEASE, 3)], [ANNOUNCED]),
        ([ANNOUNCED, HAS_1, lock(LockOp.TERMINATE)], []),
        ([HAS_1], []),
    ],
)
def test_who_has_a_lock_is_known(events: list[bytes], in_force: list[bytes]) -> None:
    """A lock is announced to a viewer together with those who hold and await it."""
    baseline = Baseline()
    baseline.take(0, b"".join(events), FakeTables())
    assert [(0, event) for event in in_force] == baseline.declared


def test_a_copy_goes_its_own_way() -> None:
    """What a reader is given does not change while it reads."""
    baseline, copy = Baseline(), Baseline()
    baseline.take(0, birth(1) + opened(1, 1) + ANNOUNCED + HAS_1, FakeTables())
    copy.assign(baseline)
    baseline.take(0, step(1, done=True) + GIVES_BACK_1 + birth(2), FakeTables())
    assert [1] == list(copy.born)
    assert [(0, ANNOUNCED), (0, HAS_1)] == copy.declared
    assert [(0, ANNOUNCED)] == baseline.declared


NUMBERS = st.integers(1, 4)  # few, so that they meet
TIMES = st.integers(0, 1_000)
TEXTS = st.text("abcé", max_size=60)


def locks() -> st.SearchStrategy[bytes]:
    """Return events of locks."""
    return st.builds(
        lambda op, shared, t_ns, a, b: record(
            Kind.LOCK, t_ns, flags=op | shared * LockFlag.SHARED, ref=1, a=a, b=b
        ),
        st.sampled_from(list(LockOp)),
        st.booleans(),
        TIMES,
        NUMBERS,
        NUMBERS,
    )


EVENTS = st.one_of(
    st.builds(birth, NUMBERS, TIMES, TEXTS, flags=st.integers(0, 7), ref=NUMBERS),
    st.builds(step, NUMBERS, TIMES, done=st.booleans()),
    st.builds(wide, NUMBERS, TIMES, done=st.booleans()),
    st.builds(opened, NUMBERS, NUMBERS, TIMES, name=NUMBERS, site=NUMBERS),
    st.builds(lambda a, b: record(Kind.CLOSE, 0, a=a, b=b), NUMBERS, NUMBERS),
    st.builds(lambda a: record(Kind.ABANDON, 0, a=a), NUMBERS),
    st.builds(lambda a, t: record(Kind.NAME, 0, a=a, rest=t.encode()), NUMBERS, TEXTS),
    st.builds(lambda a: record(Kind.CHAIN, 0, flags=2, a=a), NUMBERS),
    st.builds(lambda flags, a: record(Kind.PLOT, 0, flags=flags, a=a), st.integers(0, 7), NUMBERS),
    st.builds(lambda data: record(Kind.MESSAGE, 0, rest=data), st.binary(max_size=7 * SLOT)),
    st.builds(
        lambda op, ref: record(Kind.FRAME, 0, flags=op, ref=ref),
        st.sampled_from(list(FrameOp)),
        st.integers(0, 1),
    ),
    st.builds(
        lambda op, a, data: record(Kind.GPU, 0, flags=op, a=a, rest=data),
        st.sampled_from(list(GpuOp)),
        NUMBERS,
        st.binary(min_size=SLOT, max_size=SLOT),
    ),
    locks(),
)

#: Which ring an event is in, and after how many slots other rings come in between.
STORIES = st.lists(
    st.tuples(st.integers(0, 2), EVENTS, st.integers(1, 9)), min_size=20, max_size=80
)


class Plain:
    """The baseline as one would write it without a thought to its costs."""

    def __init__(self) -> None:
        self.born: dict[int, Born] = {}
        self.open: dict[tuple[int, int], OpenSpan] = {}
        self.events = 0
        self.locks: dict[int, tuple[list[Any], list[Any]]] = {}
        self.devices: dict[int, tuple[int, bytes]] = {}

    def take(self, event: bytes, now: Record, tables: FakeTables) -> None:
        self.events += 1
        match now.kind:
            case Kind.BIRTH:
                site = None if now.flags & BirthFlag.UNCODED else tables.resolve(now.ref)
                name = now.birth.name
                self.born[now.a] = Born(now.t_ns, now.ring, now.ref, now.flags, now.b, name, site)
            case Kind.NAME if now.a in self.born:
                self.born[now.a] = self.born[now.a]._replace(name=now.text)
            case Kind.STEP | Kind.WIDE if now.flags & StepFlag.DONE:
                self.born.pop(now.task, None)
            case Kind.ABANDON:
                self.born.pop(now.a, None)
            case Kind.OPEN:
                site = tables.resolve(now.pair[2])
                self.open[now.a, now.b] = OpenSpan(now.t_ns, now.ring, now.ref, now.pair[2], site)
            case Kind.CLOSE:
                self.open.pop((now.a, now.b), None)
            case Kind.GPU if now.flags == GpuOp.CONTEXT:
                self.devices[now.a] = now.ring, event
            case Kind.LOCK:
                self._lock(event, now)

    def _lock(self, event: bytes, now: Record) -> None:
        announced, states = self.locks.setdefault(now.a, ([], []))
        operation = LockOp(now.flags & 15)
        mine = [state for state in states if state[0] == now.b]
        if operation is LockOp.TERMINATE:
            del self.locks[now.a]
        elif operation is LockOp.ANNOUNCE:
            announced[:] = [(now.ring, event)]
        elif operation is LockOp.RELEASE:
            held = [state for state in mine if state[1] is LockOp.OBTAIN][-1:]
            held = held or [state for state in states if state[1] is LockOp.OBTAIN][:1]
            states[:] = [state for state in states if state not in held]
        else:
            waits = [state for state in mine if state[1] is LockOp.WAIT]
            states[:] = [state for state in states if state not in waits]
            if operation is not LockOp.GIVE_UP:
                states.append((now.b, operation, now.ring, event, self.events))
        states[:] = states[-_baseline.MOST_OF_LOCK :]

    @property
    def declared(self) -> list[tuple[int, bytes]]:
        found = list(self.devices.values())
        for announced, states in self.locks.values():
            if announced:
                found += announced
                found += [(state[2], state[3]) for state in states]
        return found


def woven(story: Iterable[tuple[int, bytes, int]]) -> list[tuple[int, bytes]]:
    """Return slots with their rings, those of long events interleaved with others'."""
    waiting: list[tuple[int, bytes]] = []
    slots: list[tuple[int, bytes]] = []
    for ring, event, together in story:
        while any(other == ring for other, _ in waiting):
            slots += cut(waiting, 9)
        waiting.append((ring, event))
        slots += cut(waiting, together)
    while waiting:
        slots += cut(waiting, 9)
    return slots


def cut(waiting: list[tuple[int, bytes]], slots: int) -> list[tuple[int, bytes]]:
    """Take some slots of the event that waits longest."""
    ring, data = waiting.pop(0)
    if len(data) > slots * SLOT:
        waiting.append((ring, data[slots * SLOT :]))
    data = data[: slots * SLOT]
    return [(ring, data[start : start + SLOT]) for start in range(0, len(data), SLOT)]


@settings(deadline=None)
@given(STORIES, st.integers(1, 40))
def test_the_baseline_is_what_is_in_force(story: list[tuple[int, bytes, int]], memory: int) -> None:
    """However records are cut and dropped, what is known of them is what they say in order."""
    tables = FakeTables()
    kept = History(memory * 64, 10 * S)
    slots = woven(story)
    for ring, data in slots:
        kept.append(chunk(ring, data, tables))
    reader = kept.open()
    baseline = reader.baseline
    left = sum(len(data) for data in baseline.rests.values()) // SLOT
    rings = rest_of(reader)
    passed = len(slots) - sum(len(data) for data in rings.values()) // SLOT + left

    brute, partial = Plain(), dict[int, bytes]()
    for ring, data in slots[:passed]:
        partial[ring] = partial.get(ring, b"") + data
        event = partial[ring]
        if len(event) == event[9] * SLOT:
            [now] = decode_ring(partial.pop(ring), ring)
            brute.take(event, now, tables)
    assert partial == baseline.rests
    assert brute.born == baseline.born
    assert brute.open == baseline.open
    assert brute.declared == baseline.declared
    assert brute.events == baseline.events
    for ring, data in rings.items():
        assert b"".join(data for other, data in slots if other == ring).endswith(data)


@settings(deadline=None)
@given(STORIES, st.integers(1, 40), st.lists(st.integers(0, 30), min_size=1))
def test_a_reader_sees_each_event_or_is_told_that_it_is_missing(
    story: list[tuple[int, bytes, int]], memory: int, pauses: list[int]
) -> None:
    """However slowly a viewer reads: what it is given and what it is told to miss is everything."""
    tables, kept = FakeTables(), History(memory * 64, 10 * S)
    reader, slots = kept.open(), woven(story)
    seen, missing, partial = list[bytes](), 0, dict[int, bytes]()

    def take(ring: int, data: bytes) -> None:
        for start in range(0, len(data), SLOT):
            event = partial.pop(ring, b"") + data[start : start + SLOT]
            if len(event) == event[9] * SLOT:
                seen.append(event)
            else:
                partial[ring] = event

    def read() -> bool:
        nonlocal missing
        match reader.read():
            case None:
                return False
            case Gap(records=records):
                missing += records
                partial.clear()
                partial.update(reader.baseline.rests)
            case block:
                for ring, data in block.pieces(3):
                    take(ring, data)
        return True

    for number, (ring, data) in enumerate(slots):
        kept.append(chunk(ring, data, tables))
        if pauses[number % len(pauses)] == 0:
            read()
    while read():
        pass
    assert len(story) == len(seen) + missing
    assert {} == partial
    everything = [event for _, event, _ in story]
    assert all(event in everything for event in seen)

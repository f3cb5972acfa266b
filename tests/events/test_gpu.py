from __future__ import annotations

import struct
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aperf import ConfigurationError
from aperf._events import GpuZone, activate, deactivate, gpu_context
from aperf._events._gpu import KINDS, MAX_ZONES
from aperf._recorder._layout import GpuOp
from tests.events.taking import gpu_events, taking
from tests.records import decode

if TYPE_CHECKING:
    from aperf._recorder import Recorder
    from tests.events.taking import Gpu

CONTEXT, BEGIN, END, TIME, CALIBRATE = GpuOp


def device_time(event: Gpu) -> int:
    """Return what a TIME tells."""
    return int.from_bytes(event.record.payload[:8], "little", signed=True)


def story(recorder: Recorder) -> list[tuple[object, ...]]:
    """Take all records out of a recorder; return what they say beside their contexts."""
    return [
        (event.operation, event.b, device_time(event))
        if event.operation is TIME
        else (event.operation, event.b)
        for event in gpu_events(recorder)
        if event.operation is not CONTEXT
    ]


def test_context(recorder: Recorder) -> None:
    """A context is announced before what comes of it, as of its last comparison of clocks."""
    before = time.monotonic_ns()
    context = gpu_context("encoder", kind="vulkan", period_ns=0.5, device_time=-7)
    with context.zone("encode"):
        pass
    announced, begun, ended = gpu_events(recorder)
    assert (CONTEXT, context.number, "encoder", 2**64 - 7) == announced[:4]
    assert (0.5, KINDS["vulkan"]) == struct.unpack_from("<dQ", announced.record.payload)
    assert before <= announced.record.t_ns <= begun.record.t_ns
    assert (BEGIN, context.number, "encode", 0) == begun[:4]
    assert (END, context.number, 1) == (ended.operation, ended.context, ended.b)
    site = recorder.resolve(int.from_bytes(begun.record.payload[:8], "little"))
    assert site is not None
    assert "test_context" == site[2][0][0].co_name


def test_own_clock(recorder: Recorder) -> None:
    """Without a time of its own, a device has the clock that we have, in its ticks."""
    context = gpu_context("encoder", period_ns=2.0)
    now_ns = time.monotonic_ns()
    assert abs(context.at(now_ns) - now_ns / 2) <= 1
    context.calibrate(1_000, 10)
    assert 60 == context.at(1_100)


def test_times_at_once(recorder: Recorder) -> None:
    """Times may be told with begin and end."""
    context = gpu_context("encoder")
    zone = context.begin("encode", begin_time=100)
    context.end(zone, end_time=200)
    assert [(BEGIN, 0), (TIME, 0, 100), (END, 1), (TIME, 1, 200)] == story(recorder)


def test_times_late(recorder: Recorder) -> None:
    """Times may be told when others are under way already, in any order, once each."""
    context = gpu_context("encoder")
    with context.zone("one") as one:
        pass
    with context.zone("two") as two:
        pass
    two.times(end_time=4)
    one.times(1, 2)
    two.times(3)
    two.times(9, 9)
    begins = [(BEGIN, 0), (END, 1), (BEGIN, 2), (END, 3)]
    times = [(TIME, 3, 4), (TIME, 0, 1), (TIME, 1, 2), (TIME, 2, 3)]
    assert [*begins, *times] == story(recorder)


def test_end_time_before_end(recorder: Recorder) -> None:
    """The time of an end is not told before the end."""
    context = gpu_context("encoder")
    with context.zone("x") as zone:
        zone.times(1, 2)
    assert [(BEGIN, 0), (TIME, 0, 1), (END, 1), (TIME, 1, 2)] == story(recorder)


def test_end_twice(recorder: Recorder) -> None:
    """A zone ends once, and begins once."""
    context = gpu_context("encoder")
    with context.zone("x") as zone:
        context.end(zone)
        with zone:
            pass
    assert [(BEGIN, 0), (END, 1)] == story(recorder)


def test_exceptions_pass(recorder: Recorder) -> None:
    """A block that fails ends its zone."""
    with pytest.raises(KeyError), gpu_context("encoder").zone("x"):
        raise KeyError
    assert [(BEGIN, 0), (END, 1)] == story(recorder)


def test_calibrate(recorder: Recorder) -> None:
    """A comparison of clocks has the time that was given; the context was announced before."""
    context = gpu_context("encoder", device_time=5)
    context.calibrate(123, -1)
    announced, compared = gpu_events(recorder)
    assert (CONTEXT, 5) == (announced.operation, announced.b)
    assert (CALIBRATE, 2**64 - 1, 123) == (compared.operation, compared.b, compared.record.t_ns)


def test_calibrated_while_off(recorder: Recorder) -> None:
    """What was compared while nobody took it is what the context begins with."""
    context = gpu_context("encoder")
    deactivate()
    context.calibrate(123, 456)
    activate(recorder)
    with context.zone("x"):
        pass
    announced = gpu_events(recorder)[0]
    assert (CONTEXT, 456, 123) == (announced.operation, announced.b, announced.record.t_ns)


def test_every_thread_announces(recorder: Recorder) -> None:
    """Each thread says what a context is before it writes anything else of it, once."""
    context = gpu_context("encoder")
    zones = [context.begin(str(number)) for number in range(3)]

    def finish() -> None:
        for zone in zones:
            context.end(zone, begin_time=1, end_time=2)

    thread = threading.Thread(target=finish)
    thread.start()
    thread.join()
    rings: dict[int, list[GpuOp]] = {}
    for event in gpu_events(recorder):
        rings.setdefault(event.record.ring, []).append(event.operation)
    expected = [[CONTEXT, BEGIN, BEGIN, BEGIN], [CONTEXT, *[END, TIME, TIME] * 3]]
    assert expected == list(rings.values())


def test_announced_again(recorder: Recorder) -> None:
    """Whoever takes records anew is told of each context anew."""
    context = gpu_context("encoder")
    for _ in range(2):
        with context.zone("x"):
            pass
        deactivate()
        activate(recorder)
    operations = [event.operation for event in gpu_events(recorder)]
    assert [CONTEXT, BEGIN, END] * 2 == operations


# ------------------------------------------------------------------------------------------ queries


def test_reuse(recorder: Recorder) -> None:
    """Queries are used again once both of their times have been told, and not before."""
    context = gpu_context("encoder")
    zones = []
    for _ in range(MAX_ZONES):
        zone = context.begin("x")
        context.end(zone)
        zones.append(zone)
        decode(recorder)
    with context.zone("dropped"):
        pass
    zones[5].times(begin_time=1)
    with context.zone("dropped, too"):
        pass
    assert [(TIME, 10, 1)] == story(recorder)
    assert 2 == context.dropped
    zones[5].times(end_time=2)
    zones[3].times(3, 4)
    with context.zone("a"), context.zone("b"):
        pass
    expected = [(TIME, 11, 2), (TIME, 6, 3), (TIME, 7, 4)]
    assert [*expected, (BEGIN, 10), (BEGIN, 6), (END, 7), (END, 11)] == story(recorder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=60))
def test_any_order(recorder: Recorder, steps: list[tuple[int, int]]) -> None:
    """Whatever the order, each query has one begin or end and then one time before it comes again.

    Only a few numbers are new, so that they are needed again.
    """
    context = gpu_context("encoder")
    context._fresh = iter(range(0, 8, 2))
    zones: list[GpuZone] = []
    for what, which in steps:
        if what == 0 or not zones:
            zones.append(context.begin("x"))
            continue
        zone = zones[which % len(zones)]
        if what == 1:
            context.end(zone)
        else:
            zone.times(*((1, None) if what == 2 else (None, 2)))
    waiting: set[object] = set()
    for operation, query, *_ in story(recorder):
        if operation is TIME:
            waiting.remove(query)
        else:
            assert query not in waiting
            waiting.add(query)


def test_times_of_records_that_are_over(recorder: Recorder) -> None:
    """What began in other records is not told in new ones, and its queries are free."""
    context = gpu_context("encoder")
    context._fresh = iter((0,))
    one = context.begin("one")
    deactivate()
    activate(recorder)
    decode(recorder)
    context.end(one, begin_time=1, end_time=2)
    assert [] == story(recorder)
    with context.zone("two") as two:
        pass
    deactivate()
    two.times(1, 2)
    activate(recorder)
    assert [(BEGIN, 0), (END, 1)] == story(recorder)
    with context.zone("three"):
        pass
    assert [(BEGIN, 0), (END, 1)] == story(recorder)


def test_no_room(recorder_class: type[Recorder]) -> None:
    """What found no room in the ring is not followed by what depends on it."""
    with taking(recorder_class, ring_slots=64) as recorder:
        context = gpu_context("encoder")
        with context.zone("x") as zone:
            pass
        while not recorder.dropped():
            context.calibrate(1, 1)
        zone.times(1, 2)  # no room: told again below
        with context.zone("lost") as lost:
            pass
        decode(recorder)
        lost.times(1, 2)
        zone.times(1, 2)
        assert [(TIME, 0, 1), (TIME, 1, 2)] == story(recorder)
        with context.zone("y"):
            pass
        assert [(BEGIN, 4), (END, 5)] == story(recorder)


def test_threads(recorder: Recorder) -> None:
    """Threads that begin, end and date zones at the same time never share a query."""
    context = gpu_context("encoder")
    context._fresh = iter(range(0, 8, 2))  # so that all are needed again

    def work() -> None:
        for _ in range(100):
            zone = context.begin("x")
            other = threading.Thread(target=zone.times, args=(1, 2))
            other.start()
            context.end(zone, begin_time=1, end_time=2)
            other.join()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [event for event in gpu_events(recorder) if event.operation is not CONTEXT]
    count = {operation: sum(e.operation is operation for e in events) for operation in GpuOp}
    assert 0 == context.dropped
    assert (400, 400, 800) == (count[BEGIN], count[END], count[TIME])


# ---------------------------------------------------------------------------------------- arguments


@pytest.mark.usefixtures("off_and_on")
@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"name": 1}, TypeError, "gpu_context: name=1"),
        ({"name": ""}, ConfigurationError, "gpu_context: name=''"),
        ({"kind": "abacus"}, ConfigurationError, "kind='abacus' .* one of opengl, vulkan"),
        ({"period_ns": 0}, ConfigurationError, "period_ns=0 .* a finite number above 0"),
        ({"period_ns": float("nan")}, ConfigurationError, "period_ns=nan"),
        ({"period_ns": "1"}, TypeError, "period_ns='1'"),
        ({"device_time": 1.5}, TypeError, "device_time=1.5"),
        ({"device_time": 2**63}, ConfigurationError, "device_time=9223372036854775808"),
    ],
)
def test_wrong_contexts(options: Any, error: type[Exception], words: str) -> None:
    """Wrong arguments are refused, whether anybody takes zones or not."""
    with pytest.raises(error, match=words):
        gpu_context(**{"name": "encoder", **options})


@pytest.mark.usefixtures("off_and_on")
def test_wrong_calls() -> None:
    """So are those of a context's methods."""
    context = gpu_context("encoder")
    for method in (context.zone, context.begin, context.torch_zone):
        with pytest.raises(TypeError, match=f"{method.__name__}: name=1"):
            method(1)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match=f"{method.__name__}: name=''"):
            method("")
    with pytest.raises(TypeError, match=r"begin: begin_time=1\.5"):
        context.begin("x", begin_time=1.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="end_time=9223372036854775808"):
        context.end(context.begin("x"), end_time=2**63)
    with pytest.raises(ConfigurationError, match="calibrate: cpu_ns=-1"):
        context.calibrate(-1, 0)
    with pytest.raises(TypeError, match="calibrate: device_time='0'"):
        context.calibrate(0, "0")  # type: ignore[arg-type]
    assert "<GpuContext 'encoder'>" == repr(context)

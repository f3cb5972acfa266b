from __future__ import annotations

import threading
import time

import pytest

from aperf.exporters._otlp_queue import Portion, SpanQueue
from aperf.model import Category, ExporterStatistics, SpanBatch, Template

TEMPLATES = (Template(Category.AWAIT, "await sleep"),)


def a_batch(rows: int, *, texts: int = 0) -> SpanBatch:
    """Return a batch in which every other row is sampled."""
    batch = SpanBatch(TEMPLATES, ())
    for number in range(rows):
        batch.rows.extend((0, number % 2, *[0] * 17))
    batch.texts.extend(["name"] * texts)
    return batch


def take(queue: SpanQueue) -> Portion:
    """Take a portion that must be there."""
    portion = queue.take()
    assert portion is not None
    return portion


def in_ms(milliseconds: int) -> int:
    """Return a deadline."""
    return time.monotonic_ns() + milliseconds * 1_000_000


def test_portions() -> None:
    """A large batch comes out in portions of a request's size, in order and without a gap."""
    queue = SpanQueue(100_000, 1 << 30)
    queue.put(a_batch(10_000))
    portions = [take(queue) for _ in range(3)]
    assert [(0, 4096), (4096, 8192), (8192, 10_000)] == [(p.start, p.stop) for p in portions]
    assert [2048, 2048, 904] == [portion.count_sampled() for portion in portions]


def test_room_comes_back() -> None:
    """Rows take room until they are done; what does not fit is dropped, counted by spans."""
    queue = SpanQueue(100, 1 << 30)
    assert 0 == queue.put(a_batch(60))
    assert 10 == queue.put(a_batch(60))
    assert 30 == queue.put(a_batch(60))
    queue.done(take(queue))
    assert 0 == queue.put(a_batch(60))
    assert 40 == queue.statistics.dropped_spans


def test_bytes_are_limited_too() -> None:
    """Batches with much text beside the rows fill the queue sooner."""
    queue = SpanQueue(100_000, 100_000)
    queue.put(a_batch(1000, texts=1000))
    assert 100_000 // 282 == take(queue).rows  # 152 bytes in the row, 130 beside it


def test_empty_batches() -> None:
    """A batch without rows is no work."""
    queue = SpanQueue(100, 1 << 30)
    assert 0 == queue.put(a_batch(0))
    assert queue.wait_until_empty(in_ms(0))


def test_empty_means_done() -> None:
    """The queue is empty when the last portion is done, not when it was taken."""
    queue = SpanQueue(100, 1 << 30)
    queue.put(a_batch(5))
    assert not queue.wait_until_empty(in_ms(1))
    portion = take(queue)
    assert not queue.wait_until_empty(in_ms(1))
    queue.done(portion)
    assert queue.wait_until_empty(in_ms(0))


def test_urgent_while_somebody_waits() -> None:
    """Senders see that somebody waits, and a pause ends at that moment."""
    queue = SpanQueue(100, 1 << 30)
    queue.put(a_batch(5))
    portion = take(queue)
    waiter = threading.Thread(target=queue.wait_until_empty, args=(in_ms(20_000),))
    assert not queue.is_urgent
    waiter.start()
    queue.pause(20_000_000_000, even_if_urgent=False)
    assert queue.is_urgent
    queue.done(portion)
    waiter.join(20)
    assert not queue.is_urgent


@pytest.mark.parametrize("even_if_urgent", [False, True])
def test_closing_ends_all_waiting(even_if_urgent: bool) -> None:
    """Closed, the queue drops what waits, hands out nothing, takes nothing and delays nobody."""
    queue = SpanQueue(100, 1 << 30)
    queue.put(a_batch(10))
    queue.close()
    queue.pause(20_000_000_000, even_if_urgent=even_if_urgent)
    assert queue.take() is None
    assert 5 == queue.put(a_batch(10))
    assert ExporterStatistics(dropped_spans=10) == queue.statistics


def test_sealed_counters() -> None:
    """What never came back counts as dropped, and nobody can change that later."""
    queue = SpanQueue(100, 1 << 30)
    queue.put(a_batch(10))
    portion = take(queue)
    queue.close()
    queue.seal()
    queue.count(portion, exported=5)
    queue.count_rest(portion)
    queue.done(portion)
    assert ExporterStatistics(dropped_spans=5) == queue.statistics


def test_each_span_is_counted_once() -> None:
    """What is known of a portion that has not come back is not counted again at the end."""
    queue = SpanQueue(100, 1 << 30)
    queue.put(a_batch(20))
    portion = take(queue)
    queue.count(portion, exported=3)
    queue.count(portion, dropped=4, failures=1)
    queue.close()
    queue.seal()
    assert ExporterStatistics(3, 7, 1) == queue.statistics


def test_rest_of_a_portion() -> None:
    """After a fault of our own, only that is dropped of which nothing is known yet."""
    queue = SpanQueue(100, 1 << 30)
    queue.put(a_batch(20))
    portion = take(queue)
    queue.count(portion, exported=3)
    queue.count_rest(portion)
    queue.done(portion)
    queue.seal()
    assert ExporterStatistics(3, 7, 1) == queue.statistics

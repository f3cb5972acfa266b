from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aperf._recorder._layout import PAIR, CallFlag, Kind
from aperf.model import Category, Flag, Span
from tests.history import DONE, FIRST, History

if TYPE_CHECKING:
    from collections.abc import Iterable


class Calls(History):
    """A history of one task, number 1, born at 0 and running since; it awaits coroutines."""

    def __init__(self) -> None:
        super().__init__()
        self.birth(1).step(1, 0, flags=FIRST)

    def open_call(
        self, seq: int, start_ns: int, *, parent: int = 0, parent_start_ns: int = 0
    ) -> Calls:
        """Add that a call is open."""
        rest = PAIR.pack(0, parent, parent_start_ns, 0)
        self._put(Kind.IN_CALL, start_ns, 0, 2, 1, seq, rest)
        return self

    def call(
        self,
        seq: int,
        start_ns: int,
        end_ns: int,
        *,
        parent: int = 0,
        parent_start_ns: int = 0,
        flags: int = 0,
    ) -> Calls:
        """Add that a call is over."""
        rest = PAIR.pack(end_ns - start_ns, parent, parent_start_ns, 0)
        self._put(Kind.CALL, start_ns, flags, 2, 1, seq, rest)
        return self


SUSPENDED = int(CallFlag.SUSPENDED)


def of(spans: Iterable[Span], category: Category) -> list[Span]:
    """Return the spans of a category in the order in which they began."""
    return sorted(
        (span for span in spans if span.category is category), key=lambda span: span.start_ns
    )


def ended(history: Any, **how: Any) -> Any:
    """Tell a history to the end of its task at 1000."""
    return history.step(1, 1000, flags=DONE).told(end_ns=2000, **how)


def test_calls_lie_in_their_parents_whichever_is_told_first() -> None:
    """A call is told when it ends, so after those in it."""
    story = ended(Calls().call(2, 20, 30, parent=1, parent_start_ns=10).call(1, 10, 40))
    outer, inner = of(story.spans, Category.CALL)
    assert (10, 40, 20, 30) == (outer.start_ns, outer.end_ns, inner.start_ns, inner.end_ns)
    assert outer.span_id == inner.parent_span_id
    assert story.tasks[1].span_id == outer.parent_span_id
    assert "await worker" == outer.name


def test_how_a_call_ended_is_told() -> None:
    """An exception is an error, a cancellation is none."""
    story = ended(
        Calls().call(1, 1, 2, flags=CallFlag.FAILED).call(2, 3, 4, flags=CallFlag.CANCELLED)
    )
    failed, cancelled = of(story.spans, Category.CALL)
    assert Flag.ERROR == failed.flags & (Flag.ERROR | Flag.CANCELLED)
    assert Flag.CANCELLED == cancelled.flags & (Flag.ERROR | Flag.CANCELLED)


def test_an_await_lies_in_the_call_that_was_open_when_the_task_was_suspended() -> None:
    """The innermost one; after its end its parent, after that the task."""
    history: Any = Calls().step(1, 1)
    history.open_call(1, 10).open_call(2, 20, parent=1, parent_start_ns=10).step(1, 30)
    history.call(2, 20, 35, parent=1, parent_start_ns=10, flags=SUSPENDED).step(1, 40)
    history.call(1, 10, 45, flags=SUSPENDED).step(1, 50)
    story = ended(history)
    outer, inner = of(story.spans, Category.CALL)
    task = story.tasks[1].span_id
    awaits = of(story.spans, Category.AWAIT)
    assert [task, task, inner.span_id, outer.span_id, task] == [
        span.parent_span_id for span in awaits
    ]


def test_an_open_call_named_again_is_the_innermost_once_more() -> None:
    """Also when the ones in it never ended; number 0 is the task itself."""
    history: Any = Calls().open_call(1, 10).open_call(2, 20, parent=1).step(1, 30)
    history.open_call(1, 10).step(1, 40)
    history.open_call(0, 0).step(1, 50)
    story = ended(history)
    outer, inner = of(story.spans, Category.CALL)
    assert [inner.span_id, outer.span_id, story.tasks[1].span_id] == [
        span.parent_span_id for span in of(story.spans, Category.AWAIT)[1:]
    ]


def test_a_call_lies_in_the_user_span_that_was_opened_around_it() -> None:
    """If it was opened since the parent call began, and before the call did."""
    history: Any = Calls()
    history.open(1, 1, 10, "around", (0, 0))
    history.call(1, 5, 30).call(2, 40, 50).open_call(3, 60)
    history.open(1, 2, 70, "within", (1, 1))
    history.call(4, 80, 90, parent=3, parent_start_ns=60).step(1, 95)
    history.close(1, 2, 100).step(1, 105).close(1, 1, 110)
    story = ended(history)
    before, inside, outer, inner = of(story.spans, Category.CALL)
    around, within = of(story.spans, Category.USER)
    assert story.tasks[1].span_id == before.parent_span_id
    assert [around.span_id] * 2 == [inside.parent_span_id, outer.parent_span_id]
    assert within.span_id == inner.parent_span_id
    awaits = of(story.spans, Category.AWAIT)[1:]
    assert [within.span_id, outer.span_id] == [span.parent_span_id for span in awaits]


def test_an_await_counts_once() -> None:
    """A suspension, or a call in which there was none."""
    history: Any = Calls().call(1, 10, 20).call(2, 20, 30)
    history.open_call(3, 30).step(1, 40).call(3, 30, 50, flags=SUSPENDED)
    assert 2 + 2 == ended(history).assembler.awaits


def test_short_calls_are_counted_but_no_spans() -> None:
    """As it is with awaits."""
    story = ended(Calls().call(1, 10, 19).call(2, 20, 30), await_min_ns=10)
    assert [20] == [span.start_ns for span in of(story.spans, Category.CALL)]
    assert 3 == story.assembler.awaits


def test_what_is_open_when_the_task_ends_is_unfinished() -> None:
    """Its end is the task's; what is told later of it is nothing new."""
    history: Any = Calls().open_call(1, 10).step(1, 1000, flags=DONE)
    history.call(1, 10, 1500, flags=SUSPENDED)
    [call] = of(history.told(end_ns=2000).spans, Category.CALL)
    assert Flag.UNFINISHED & call.flags
    assert 1000 == call.end_ns


def test_an_open_call_goes_on_in_the_task_s_next_segment() -> None:
    """Its parts follow each other, each in the trace of its segment and with its parent there."""
    history: Any = Calls().open_call(1, 10).open_call(2, 20, parent=1, parent_start_ns=10)
    for t_ns in range(100, 1000, 100):
        history.step(1, t_ns)
    history.call(2, 20, 990, parent=1, parent_start_ns=10, flags=SUSPENDED)
    history.call(1, 10, 995, flags=SUSPENDED)
    spans = ended(history, segment_ns=250).spans
    calls = of(spans, Category.CALL)
    outers = [call for call in calls if call.parent_span_id not in {c.span_id for c in calls}]
    assert 3 < len(outers)
    assert [part.end_ns for part in outers[:-1]] == [part.start_ns for part in outers[1:]]
    assert all(part.flags & Flag.SEGMENT for part in outers[:-1])
    known = {(span.trace_id, span.span_id) for span in spans}
    assert {(s.trace_id, s.parent_span_id) for s in spans if s.parent_span_id} <= known


def test_who_did_not_ask_for_calls_sees_none() -> None:
    """A session may share its recorder with one that did."""
    story = ended(Calls().call(1, 10, 20).open_call(2, 30), calls=False)
    assert [] == of(story.spans, Category.CALL)
    assert 1 == story.assembler.awaits

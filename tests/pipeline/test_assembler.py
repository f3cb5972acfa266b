from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aperf._ids import Ids
from aperf._pipeline._merge import merge
from aperf._recorder._layout import SLOT, BirthFlag, Kind, StepFlag
from aperf.model import Category, Flag, Span, StatusCode
from tests.history import DONE, FIRST, History, Story

#: (waiting, ready, busy) of each step of a task.
STEPS = st.lists(st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1, max_size=20)


def life(steps: list[tuple[int, int, int]], *, born_ns: int = 5) -> tuple[History, int]:
    """Return the history of one task and when it ended."""
    history, t_ns = History().birth(1, born_ns), born_ns
    for index, (waiting_ns, ready_ns, busy_ns) in enumerate(steps):
        flags = (FIRST if index == 0 else 0) | (DONE if index == len(steps) - 1 else 0)
        t_ns += (waiting_ns if index else 0) + ready_ns
        history.step(1, t_ns, busy_ns, ready_ns=ready_ns, site=index and 1, flags=flags)
        t_ns += busy_ns
    return history, t_ns


@given(STEPS)
def test_busy_ready_and_waiting_add_up_to_the_lifetime(steps: list[tuple[int, int, int]]) -> None:
    """To the nanosecond, and each of them is what was measured."""
    history, end_ns = life(steps)
    task = history.told(end_ns=end_ns).tasks[1]
    assert (5, end_ns) == (task.start_ns, task.end_ns)
    assert task.duration_ns == task.busy_ns + task.ready_ns + task.waiting_ns
    assert sum(step[2] for step in steps) == task.busy_ns
    assert sum(step[1] for step in steps) == task.ready_ns
    assert sum(step[0] for step in steps[1:]) == task.waiting_ns


@given(STEPS, st.integers(0, 50), st.integers(1, 50))
def test_segments_add_up_to_the_life_of_the_task(
    steps: list[tuple[int, int, int]], segment_spans: int, segment_ns: int
) -> None:
    """However a trace is cut, the parts follow each other without gap and sum up exactly."""
    history, end_ns = life(steps)
    whole = history.told(end_ns=end_ns).tasks[1]
    parts = history.told(end_ns=end_ns, segment_spans=segment_spans, segment_ns=segment_ns).of(
        Category.TASK
    )
    assert [part.end_ns for part in parts[:-1]] == [part.start_ns for part in parts[1:]]
    assert whole.duration_ns == sum(part.duration_ns for part in parts)
    for name in ("busy_ns", "ready_ns", "waiting_ns", "steps"):
        assert getattr(whole, name) == sum(getattr(part, name) for part in parts)
    for part in parts:
        assert part.duration_ns == part.busy_ns + part.ready_ns + part.waiting_ns


@given(STEPS, st.lists(st.integers(1, 5), min_size=1, max_size=60))
def test_chunks_may_be_cut_between_any_two_slots(
    steps: list[tuple[int, int, int]], sizes: list[int]
) -> None:
    """An event that is torn apart is joined again."""
    history, end_ns = life(steps)
    history.failure(1, "ValueError\0" + "x" * 900)
    assembler, data = history.assembler(), bytes(history.data)
    for size in [*sizes, len(data)]:
        assembler.feed(0, data[: size * SLOT])
        data = data[size * SLOT :]
    assembler.finish(end_ns, [])
    assert told(history.told(end_ns=end_ns)) == told(Story(assembler))


def told(story: Story) -> list[tuple[str, int, int, dict[str, object]]]:
    """Return what a reader would see."""
    return [(s.name, s.start_ns, s.end_ns, dict(s.attributes)) for s in story.spans]


def test_an_await_lasts_from_suspend_to_resume() -> None:
    """Its last part, from the wake-up on, is the time ready."""
    history = History().birth(1).step(1, 10, 5, ready_ns=10, flags=FIRST)
    history.step(1, 100, 7, ready_ns=30, site=1, flags=DONE)
    (wait,) = history.told().awaits
    assert (15, 100) == (wait.start_ns, wait.end_ns)
    assert (30, 55) == (wait.ready_ns, wait.waiting_ns)
    assert history.told().tasks[1].span_id == wait.parent_span_id


def test_steps_beyond_32_bits_count_in_full() -> None:
    """A task that waits for an hour is not cut to four seconds."""
    hour = 3600 * 10**9
    history = History().birth(1).step(1, 0, 0, flags=FIRST).wide(1, hour, hour, flags=DONE)
    task = history.told().tasks[1]
    assert (hour, hour) == (task.waiting_ns, task.busy_ns)


def test_a_child_is_in_the_trace_of_the_task_that_made_it() -> None:
    """Rule 3: the creator's span is the parent."""
    history = History().birth(1).birth(2, 3, creator=1, code=2)
    parent, child = (history.told().tasks[number] for number in (1, 2))
    assert parent.trace_id == child.trace_id
    assert parent.span_id == child.parent_span_id
    assert parent.parent_span_id is None


def test_a_child_made_under_a_user_span_is_its_child() -> None:
    """Rule 2: what is open around create_task comes before the task."""
    history = History().birth(1).step(1, 0, flags=FIRST).open(1, 1, 5, "request", (1, 0))
    history.birth(2, 6, creator=1, span=(1, 1)).close(1, 1, 9)
    story = history.told()
    (request,) = story.of(Category.USER)
    assert request.span_id == story.tasks[2].parent_span_id
    assert story.tasks[1].span_id == request.parent_span_id


def test_a_task_made_by_a_callback_begins_a_trace_and_links_to_where_it_came_from() -> None:
    """Rule 4: the context of a callback is inherited from long ago; it is no parent."""
    history = History().birth(1).step(1, 0, flags=FIRST).open(1, 1, 5, "request", (1, 0))
    history.birth(2, 6, span=(1, 1), flags=BirthFlag.CALLBACK)
    story = history.told()
    child = story.tasks[2]
    assert child.parent_span_id is None
    assert child.trace_id != story.tasks[1].trace_id
    (link,) = child.links
    assert story.of(Category.USER)[0].context == link.context


def test_a_span_opened_in_the_very_callback_is_the_parent() -> None:
    """Rule 4, its exception: opened after the last step, by no task."""
    history = History().birth(1).step(1, 0, 5, flags=FIRST).open(99, 1, 6, "on_message", (0, 0))
    history.birth(2, 7, span=(99, 1), flags=BirthFlag.CALLBACK).close(99, 1, 8)
    story = history.told()
    assert story.of(Category.USER)[0].span_id == story.tasks[2].parent_span_id


def test_a_span_around_asyncio_run_is_the_parent_of_the_main_task() -> None:
    """It is made by no task, but by no callback of a running loop either."""
    history = History().open(99, 1, 0, "main", (0, 0)).birth(1, 1, span=(99, 1))
    story = history.told()
    assert story.of(Category.USER)[0].span_id == story.tasks[1].parent_span_id


def test_task_parent_link_gives_each_task_a_trace_of_its_own() -> None:
    """APERF_TASK_PARENT=link: related, but not below."""
    history = History().birth(1).birth(2, 3, creator=1)
    story = history.told(task_parent="link")
    assert story.tasks[2].parent_span_id is None
    assert [story.tasks[1].context] == [link.context for link in story.tasks[2].links]


def test_task_parent_root_gives_each_task_a_trace_without_relations() -> None:
    """APERF_TASK_PARENT=root."""
    story = History().birth(1).birth(2, 3, creator=1).told(task_parent="root")
    assert (None, ()) == (story.tasks[2].parent_span_id, story.tasks[2].links)


def test_task_parent_child_holds_for_callbacks_too() -> None:
    """APERF_TASK_PARENT=child: whatever is known is the parent."""
    history = History().birth(1).step(1, 0, flags=FIRST).open(1, 1, 5, "request", (1, 0))
    history.birth(2, 6, span=(1, 1), flags=BirthFlag.CALLBACK)
    story = history.told(task_parent="child")
    assert story.of(Category.USER)[0].span_id == story.tasks[2].parent_span_id


def test_an_await_links_to_the_task_that_woke_it_also_when_that_has_ended() -> None:
    """The last act of many tasks is to wake somebody."""
    history = History().birth(1).step(1, 0, flags=FIRST)
    history.birth(2, 1, creator=1).step(2, 5, 2, flags=FIRST | DONE)
    history.step(1, 10, waker=2, site=1, flags=DONE)
    story = history.told()
    (wait,) = story.awaits
    assert story.tasks[2].context == wait.woken_by
    assert "woken_by" == dict(wait.links[0].attributes)["aperf.link"]


def test_a_task_that_wakes_itself_links_to_nobody() -> None:
    """sleep(0): there is no news in it."""
    history = History().birth(1).step(1, 0, flags=FIRST).step(1, 5, waker=1, flags=DONE)
    assert history.told().awaits[0].woken_by is None


def test_a_cancelled_task_names_the_task_that_cancelled_it_and_is_no_error() -> None:
    """By name, and by a link."""
    history = History().birth(1, name="boss").birth(2, 1, creator=1).step(2, 2, flags=FIRST)
    cancelled = DONE | StepFlag.CANCELLED | StepFlag.WAIT_CANCELLED
    history.step(2, 5, waker=1, site=1, flags=cancelled)
    story = history.told()
    task = story.tasks[2]
    assert (True, "boss") == (
        task.attributes["aperf.cancelled"],
        task.attributes["aperf.cancelled_by"],
    )
    assert [story.tasks[1].context] == [link.context for link in task.links]
    assert StatusCode.UNSET == task.status
    assert story.awaits[0].attributes["aperf.cancelled"] is True


def test_a_task_cancelled_by_a_timeout_or_a_callback_says_so() -> None:
    """Where no task stands behind it."""
    for flag, name in ((StepFlag.BY_TIMEOUT, "timeout"), (StepFlag.BY_CALLBACK, "callback")):
        history = History().birth(1).step(1, 2, flags=FIRST)
        flags = DONE | StepFlag.CANCELLED | StepFlag.WAIT_CANCELLED | flag
        task = history.step(1, 5, site=1, flags=flags).told().tasks[1]
        assert name == task.attributes["aperf.cancelled_by"]


def test_a_cancellation_that_goes_through_a_child_is_its_canceller_s() -> None:
    """Cancelling a task cancels the child it awaits, whose end wakes it: not the child did it."""
    cancelled = DONE | StepFlag.CANCELLED | StepFlag.WAIT_CANCELLED
    history = History().birth(1, name="boss").birth(2, creator=1).birth(3, creator=2)
    history.step(2, 1, flags=FIRST).step(3, 2, flags=FIRST)
    history.step(3, 5, waker=1, site=1, flags=cancelled)
    history.step(2, 6, waker=3, site=1, flags=cancelled)
    assert "boss" == history.told().tasks[2].attributes["aperf.cancelled_by"]


def test_a_cancellation_survived_leaves_no_mark_on_the_task() -> None:
    """A timeout inside of the task is an event of its await, not its end."""
    history = History().birth(1).step(1, 2, flags=FIRST)
    history.step(1, 5, site=1, flags=StepFlag.WAIT_CANCELLED | StepFlag.BY_TIMEOUT)
    history.step(1, 9, site=1, flags=DONE)
    story = history.told()
    assert "aperf.cancelled_by" not in story.tasks[1].attributes
    assert ["timeout", None] == [w.attributes.get("aperf.cancelled_by") for w in story.awaits]


def test_an_exception_sets_the_status_and_is_an_event_with_type_message_and_stack() -> None:
    """Also where the message needs several records."""
    history = History().birth(1).failure(1, "app.Oops\0" + "no " * 200)
    task = history.step(1, 5, 4, flags=FIRST | DONE | StepFlag.FAILED).told().tasks[1]
    (event,) = task.events
    attributes = dict(event.attributes)
    assert StatusCode.ERROR == task.status
    assert ("exception", task.end_ns) == (event.name, event.time_ns)
    assert ("app.Oops", "no " * 200) == (
        attributes["exception.type"],
        attributes["exception.message"],
    )
    assert "in worker" in str(attributes["exception.stacktrace"])
    assert task.status_message.startswith("app.Oops: no no")


def test_a_task_still_alive_at_the_end_is_unfinished_and_so_is_what_it_waits_for() -> None:
    """It ends with the session, and its time is accounted for until then."""
    history = History().birth(1, name="t").step(1, 10, 5, ready_ns=10, flags=FIRST)
    story = history.told(end_ns=100, live=[(1, 1, 15, False, False)])
    task, wait = story.tasks[1], story.awaits[0]
    assert (True, 100, 85) == (task.attributes["aperf.unfinished"], task.end_ns, task.waiting_ns)
    assert (15, 100, True) == (wait.start_ns, wait.end_ns, wait.attributes["aperf.unfinished"])
    (shown,) = story.assembler.unfinished
    assert ("t", 100) == (shown.task, shown.age_ns)


def test_a_task_that_never_ran_was_ready_all_the_time() -> None:
    """And a running one was busy."""
    history = History().birth(1).birth(2, 10)
    live = [(1, 0, 0, True, False), (2, 0, 10, False, True)]
    story = history.told(end_ns=50, live=live)
    assert (50, 40) == (story.tasks[1].ready_ns, story.tasks[2].busy_ns)


def test_a_task_destroyed_without_an_end_is_unfinished() -> None:
    """Somebody else lives at its address now."""
    history = History().birth(1).step(1, 5, flags=FIRST).other(Kind.ABANDON, 70, 1)
    task = history.told().tasks[1]
    assert (70, True) == (task.end_ns, task.attributes["aperf.unfinished"])


def test_a_step_of_an_unknown_task_makes_one_up() -> None:
    """Its birth was lost; that is better said than guessed."""
    task = History().step(5, 100, 7, ready_ns=20, flags=DONE).told().tasks[5]
    assert Flag.ADOPTED | Flag.INCOMPLETE == task.flags & (Flag.ADOPTED | Flag.INCOMPLETE)
    assert task.duration_ns == task.busy_ns + task.ready_ns + task.waiting_ns


def test_spans_open_while_records_were_lost_are_incomplete() -> None:
    """Those that begin later are not."""
    history = History().birth(1).step(1, 0, flags=FIRST).other(Kind.LOST, 3, 17)
    history.step(1, 5, site=1).birth(2, 6).step(2, 7, flags=FIRST | DONE).step(1, 9, flags=DONE)
    story = history.told()
    assert [True, False] == [bool(w.flags & Flag.INCOMPLETE) for w in story.awaits]
    assert [True, False] == [bool(story.tasks[n].flags & Flag.INCOMPLETE) for n in (1, 2)]


def test_a_long_trace_is_cut_and_its_parts_link_back() -> None:
    """The next segment is a trace of its own, linked to the last one and to the parent."""
    history = History().birth(1).birth(2, creator=1).step(2, 1, flags=FIRST)
    for t_ns in range(10, 60, 10):
        history.step(2, t_ns, site=1)
    story = history.step(2, 60, site=1, flags=DONE).told(segment_spans=3)
    first, second = story.of(Category.TASK)[:2]
    assert first.attributes["aperf.segment"] is True
    assert first.trace_id != second.trace_id
    kinds = {dict(link.attributes)["aperf.link"]: link.context for link in second.links}
    assert first.context == kinds["previous_segment"]
    assert story.tasks[1].context == kinds["created_by"]


def test_a_trace_is_not_cut_under_an_open_user_span() -> None:
    """Its children would lose their parent."""
    history = History().birth(1).step(1, 0, flags=FIRST).open(1, 1, 0, "batch", (1, 0))
    for t_ns in range(10, 60, 10):
        history.step(1, t_ns, site=1)
    history.close(1, 1, 60).step(1, 60, site=1).step(1, 70, flags=DONE)
    story = history.told(segment_spans=2)
    assert 2 == len(story.of(Category.TASK))
    (batch,) = story.of(Category.USER)
    inside = [wait for wait in story.awaits if wait.parent_span_id == batch.span_id]
    assert {batch.trace_id} == {wait.trace_id for wait in inside}


def test_a_wait_belongs_to_the_user_span_open_when_it_began() -> None:
    """A span opened by the step that follows the wait is no parent of it."""
    history = History().birth(1).step(1, 0, flags=FIRST).open(1, 1, 20, "later", (1, 0))
    history.step(1, 19, 5, site=1).step(1, 50, site=1).close(1, 1, 60).step(1, 60, flags=DONE)
    story = history.told()
    later, task = story.of(Category.USER)[0], story.tasks[1]
    parents = [wait.parent_span_id for wait in story.awaits]
    assert [task.span_id, later.span_id, later.span_id] == parents


def test_user_spans_left_open_end_with_their_task() -> None:
    """And say so."""
    history = History().birth(1).open(1, 1, 5, "outer", (1, 0)).open(1, 2, 6, "inner", (1, 1))
    story = history.step(1, 0, 30, flags=FIRST | DONE).told()
    names = [(s.name, s.end_ns, bool(s.flags & Flag.UNFINISHED)) for s in story.of(Category.USER)]
    assert [("inner", 30, True), ("outer", 30, True)] == names


def test_a_job_is_a_child_of_what_waits_for_it() -> None:
    """With its time in the queue and its run time."""
    history = History().birth(1).step(1, 0, flags=FIRST).job(1, 9, 50, 20, 15)
    story = history.told()
    (job,) = story.of(Category.EXECUTOR)
    assert (30, 65, 20, 15) == (job.start_ns, job.end_ns, job.ready_ns, job.busy_ns)
    assert ("worker", story.tasks[1].span_id) == (job.name, job.parent_span_id)
    assert (20, 15) == (job.attributes["aperf.queue_ns"], job.attributes["aperf.run_ns"])


def test_short_awaits_count_but_are_no_spans() -> None:
    """APERF_AWAIT_MIN_US."""
    history = History().birth(1).step(1, 0, flags=FIRST)
    story = history.step(1, 5, site=1).step(1, 500, site=1, flags=DONE).told(await_min_ns=100)
    assert (2, 1) == (story.assembler.awaits, len(story.awaits))
    assert story.tasks[1].duration_ns == story.tasks[1].waiting_ns


def test_traces_that_the_sampler_refuses_are_recorded_but_marked() -> None:
    """It limits what is exported as OTLP, nothing else; children inherit the decision."""
    asked: list[str] = []

    def sample(trace_id: int, name: str) -> bool:
        asked.append(name)
        return False

    story = History().birth(1).birth(2, creator=1).told(sample=sample)
    assert ["sleeper"] == asked
    assert [False, False] == [span.context.sampled for span in story.spans]


def test_without_rows_the_statistics_are_the_same() -> None:
    """A session that delivers nowhere still counts."""
    history, end_ns = life([(1, 2, 3), (4, 5, 6), (7, 8, 9)])
    with_rows, without = (
        history.told(end_ns=end_ns, rows=rows).assembler for rows in (True, False)
    )
    assert with_rows.rows.spans == without.rows.spans
    assert with_rows.awaits == without.awaits
    sums = [a.tables.coroutines()[0].result((0, 0, 0, 0)) for a in (with_rows, without)]
    assert sums[0] == sums[1]


def test_ids_depend_on_nothing_but_seed_and_numbers() -> None:
    """Whoever knows the seed can name a span without having seen it."""
    history, end_ns = life([(1, 1, 1)] * 5)

    def ids(seed: int) -> list[tuple[int, int]]:
        story = history.told(end_ns=end_ns, ids=Ids(seed))
        return [(span.trace_id, span.span_id) for span in story.spans]

    assert ids(1) == ids(1)
    assert not set(ids(1)) & set(ids(2))


@given(
    st.integers(0, 2**64 - 1), st.lists(st.integers(1, 2**40), unique=True, min_size=2, max_size=50)
)
def test_ids_of_one_task_are_distinct_and_never_zero(seed: int, numbers: list[int]) -> None:
    """Also at the borders of the ranges."""
    ids = Ids(seed)
    base = ids.base(1, 0)
    spans = [ids.span(base, n + r) for n in numbers for r in (0, 1 << 61, 2 << 61, 3 << 61)]
    assert len(spans) == len(set(spans))
    assert 0 not in spans


def test_events_of_several_rings_are_put_in_the_order_of_writing() -> None:
    """A step stamped with its begin was written at its end."""
    loop = History().birth(1, 0).step(1, 10, 90, flags=FIRST)
    pool = History().job(1, 5, 20, 1, 30)
    pieces = list(merge([(1, bytes(pool.data)), (0, bytes(loop.data))], 32))
    assert [0, 1, 0] == [ring for ring, _ in pieces]


def test_a_job_drained_before_the_birth_of_its_task_still_finds_it() -> None:
    """Rings are merged by time, not by which was drained first."""
    loop, pool = History().birth(1, 0), History().job(1, 5, 20, 1, 30)
    assembler = loop.assembler()
    for ring, data in merge([(1, bytes(pool.data)), (0, bytes(loop.data))], 32):
        assembler.feed(ring, data)
    assembler.finish(100, [])
    story = Story(assembler)
    assert story.tasks[1].span_id == story.of(Category.EXECUTOR)[0].parent_span_id
    assert "pool_0" == thread_of(story.of(Category.EXECUTOR)[0])


def thread_of(span: Span) -> str:
    """Return the name of the thread that a span ran in."""
    assert span.thread is not None
    return span.thread.name


def test_a_nested_session_begins_with_the_tasks_that_live() -> None:
    """They count as adopted, from its own begin on."""
    history = History().birth(1, name="t").step(1, 10, 5, flags=FIRST)
    outer, inner = history.assembler(), history.assembler()
    outer.feed(0, bytes(history.data))
    inner.adopt(outer, 40)
    more = History().step(1, 90, 5, ready_ns=10, site=1, flags=DONE)
    for assembler in (outer, inner):
        assembler.feed(0, bytes(more.data))
        assembler.finish(200, [])
    seen = Story(inner).tasks[1]
    assert ("t", 40, True) == (seen.task_name, seen.start_ns, seen.attributes["aperf.adopted"])
    assert 0 == Story(outer).tasks[1].start_ns


def test_records_of_a_kind_to_come_are_skipped() -> None:
    """An older reader loses nothing else."""
    history = History().birth(1)
    data = bytearray(history.other(Kind.LOST, 3, 1, b"x" * 64).data)
    data[-3 * SLOT + 8] = 200
    assembler = history.assembler()
    assembler.feed(0, bytes(data) + bytes(History().step(1, 5, 5, flags=FIRST | DONE).data))
    assert 1 == assembler.steps


def test_a_span_that_the_creator_inherited_is_no_parent_of_its_child() -> None:
    """It lies above the creator already."""
    history = History().birth(1).step(1, 0, flags=FIRST).open(1, 1, 5, "request", (1, 0))
    history.birth(2, 6, creator=1, span=(1, 1)).birth(3, 7, creator=2, span=(1, 1))
    story = history.told()
    assert story.tasks[2].span_id == story.tasks[3].parent_span_id


def test_a_sequence_is_an_attribute_with_all_its_elements() -> None:
    """A bare ITEM begins it, and each further one adds to it."""
    history = History().birth(1).open(1, 1, 0, "s", (1, 0))
    for flags, payload in ((16, b""), (16 + 3, (1).to_bytes(8, "little")), (16 + 3, b"\2")):
        key = history.names.intern("sizes")
        history.record(Kind.ATTRIBUTE, 1, flags=flags, ref=key, a=1, b=1, rest=payload)
    (span,) = history.close(1, 1, 9).told().of(Category.USER)
    assert (1, 2) == span.attributes["sizes"]


def test_of_a_step_that_ran_when_the_session_began_only_the_rest_counts() -> None:
    """A nested session of a millisecond does not show fifty that passed before."""
    outer, inner = History().assembler(), History().assembler()
    outer.feed(0, bytes(History().birth(1).step(1, 0, 10, flags=FIRST).data))
    inner.adopt(outer, 100)
    inner.feed(0, bytes(History().step(1, 50, 70, site=1, flags=DONE).data))
    task = Story(inner).tasks[1]
    assert (100, 120, 20, 0) == (task.start_ns, task.end_ns, task.busy_ns, task.waiting_ns)

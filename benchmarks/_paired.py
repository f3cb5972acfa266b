"""The paired measurement: two loops in one process, one of them watched, in turns.

A single time says more about the machine and its other users than about aperf. So the same work
runs on a plain loop and on a watched one, in short rounds that follow each other closely
(plain, watched, watched, plain, …); what is reported is the median of the rounds' ratios, and that
ratio applied to the fastest plain round. Time is CPU time of the loop's own thread or, where the
exporter counts too, of the whole process.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    import aperf

FLUSH_S = 120


def loop_names() -> tuple[str, ...]:
    """Return the kinds of loops that are installed."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: F401

        return ("asyncio", "uvloop")
    return ("asyncio",)


def new_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return a new loop by its name."""
    if name == "asyncio":
        return asyncio.new_event_loop()
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


class Cost(NamedTuple):
    """CPU time of one round."""

    thread_ns: int  #: of the loop's thread
    process_ns: int  #: of all threads, until everything was delivered


@dataclass(frozen=True, slots=True)
class Comparison:
    """What rounds on the plain and on the watched loop cost."""

    plain: list[Cost]
    watched: list[Cost]

    def base_ns(self) -> float:
        """Return the fastest plain round, by the loop's thread."""
        return min(cost.thread_ns for cost in self.plain)

    def added_ns(self) -> float:
        """Return the fastest plain round's share that watching adds.

        The difference of the two fastest rounds would compare different moments of the machine.
        """
        return (self.thread_ratio() - 1) * self.base_ns()

    def thread_ratio(self) -> float:
        """Return the median ratio of neighbouring rounds, by the loop's thread."""
        pairs = zip(self.watched, self.plain, strict=True)
        return statistics.median(watched.thread_ns / plain.thread_ns for watched, plain in pairs)

    def process_ratio(self) -> float:
        """Return the same by the CPU time of all threads: what the work costs on one core."""
        pairs = zip(self.watched, self.plain, strict=True)
        return statistics.median(watched.process_ns / plain.process_ns for watched, plain in pairs)


@dataclass(frozen=True, slots=True)
class Pair:
    """A plain loop, a watched one, and the session that watches it."""

    plain: asyncio.AbstractEventLoop
    watched: asyncio.AbstractEventLoop
    session: aperf.Session

    def compare(
        self, plain: Callable[[], Any], watched: Callable[[], Any], rounds: int
    ) -> Comparison:
        """Call both in turns, after one round of each that does not count."""
        costs: dict[bool, list[Cost]] = {False: [], True: []}
        for number in range(-1, rounds):
            for is_watched in (False, True) if number % 2 else (True, False):
                cost = self._round(watched if is_watched else plain, flush=is_watched)
                if number >= 0:
                    costs[is_watched].append(cost)
        return Comparison(costs[False], costs[True])

    def compare_work(
        self, work: Callable[[], Coroutine[Any, Any, object]], rounds: int
    ) -> Comparison:
        """Run the same coroutine function on both loops."""
        return self.compare(
            lambda: self.plain.run_until_complete(work()),
            lambda: self.watched.run_until_complete(work()),
            rounds,
        )

    def _round(self, run: Callable[[], Any], *, flush: bool) -> Cost:
        gc.collect()
        process_ns = time.process_time_ns()
        thread_ns = time.thread_time_ns()
        run()
        thread_ns = time.thread_time_ns() - thread_ns
        # Else a round would pay for the records of the one before it. Waiting costs no CPU time.
        if flush:
            self.plain.run_until_complete(self.session.flush(FLUSH_S))
        return Cost(thread_ns, time.process_time_ns() - process_ns)


@contextlib.contextmanager
def paired_loops(name: str, **options: Any) -> Iterator[Pair]:
    """Give a plain and a watched loop of a kind; options go to `aperf.session`."""
    import aperf

    with (
        contextlib.closing(new_loop(name)) as plain,
        contextlib.closing(new_loop(name)) as watched,
        aperf.session(enabled=True, loops="current", **options) as session,
    ):
        session.watch(watched)
        yield Pair(plain, watched, session)

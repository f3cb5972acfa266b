"""For the tests of programs that use aperf: what was recorded in a block, and a clock to set.

Example:
    async def test_the_client_waits_for_its_lock() -> None:
        async with aperf.testing.capture() as captured:
            await client.fetch()
        assert [span.wait_kind for span in captured.awaits] == ["lock"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from ._config import Settings
from ._errors import ConfigurationError
from ._ids import SequentialIds
from ._runtime import current
from ._session import Session
from .exporters import MemoryExporter
from .model import Category, Statistics

if TYPE_CHECKING:
    from types import TracebackType

    from .model import Span, Summary

__all__ = ("Capture", "ManualClock", "capture")


class ManualClock:
    """The clock of a capture. It stands still, at `now_ns`, until it is advanced."""

    def __init__(self) -> None:
        self.now_ns = 0

    def advance(self, ns: int) -> None:
        """Let time pass.

        Args:
            ns: how much; not negative.

        Raises:
            ValueError: time does not run backwards.
            ConfigurationError: no capture with a manual clock is open.
        """
        if ns < 0:
            raise ValueError(f"ns={ns}: time does not run backwards; 0 or more is accepted")
        runtime = current()
        if runtime is None or not runtime.manual_clock:
            raise ConfigurationError("advance() works inside of capture(manual_clock=True) only")
        self.now_ns += ns
        runtime.recorder.set_time_ns(self.now_ns)


class Capture:
    """What was recorded in a block; complete when the block has ended.

    Attributes:
        clock: to be advanced by hand, with ``manual_clock=True``.
    """

    def __init__(self, *, manual_clock: bool, awaits: Literal["suspended", "all"] | None) -> None:
        self.clock = ManualClock()
        self._exporter = MemoryExporter()
        self._session = Session(
            exporters=[self._exporter],
            awaits=awaits,
            # Not those of the environment: a test is to see the same wherever it runs.
            settings=Settings(enabled=True, service_name="capture"),
            ids=SequentialIds(),
            manual_clock=manual_clock,
        )

    def __enter__(self) -> Self:
        """Begin to record."""
        self._session.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; what was recorded is there when the block has ended, also where a loop runs."""
        self._session.end_and_wait()

    async def __aenter__(self) -> Self:
        """Begin to record."""
        await self._session.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        await self._session.__aexit__(kind, error, traceback)

    async def flush(self) -> None:
        """Make what was recorded so far visible, in the middle of the block."""
        await self._session.flush()

    @property
    def spans(self) -> list[Span]:
        """All spans, in the order in which they ended."""
        return self._exporter.spans

    @property
    def tasks(self) -> list[Span]:
        """Spans of tasks."""
        return self._of(Category.TASK)

    @property
    def awaits(self) -> list[Span]:
        """Spans of awaits that suspended."""
        return self._of(Category.AWAIT)

    @property
    def user_spans(self) -> list[Span]:
        """Spans opened with `aperf.span` or `aperf.instrument`."""
        return self._of(Category.USER)

    def _of(self, category: Category) -> list[Span]:
        return [span for span in self.spans if span.category is category]

    def span(self, name: str) -> Span:
        """Return the one span of a name.

        Raises:
            LookupError: there is none, or more than one.
        """
        found = [span for span in self.spans if span.name == name]
        if len(found) != 1:
            names = ", ".join(sorted({span.name for span in self.spans})) or "nothing"
            raise LookupError(f"expected one span {name!r}, found {len(found)}; recorded: {names}")
        return found[0]

    @property
    def statistics(self) -> Statistics:
        """The counters."""
        return self._session.statistics()

    @property
    def summary(self) -> Summary:
        """What was found out."""
        return self._session.summary()


def capture(
    *, manual_clock: bool = False, awaits: Literal["suspended", "all"] | None = None
) -> Capture:
    """Return a context manager, asynchronous and synchronous, that captures what a block does.

    Ids are small numbers, the same in every run.

    Args:
        manual_clock: let time stand still until `Capture.clock` is advanced.
        awaits: as for `aperf.session`.
    """
    return Capture(manual_clock=manual_clock, awaits=awaits)

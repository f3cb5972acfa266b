"""Sessions: what a program opens to be watched.

While aperf is off, this module is all that is loaded beside the reader of the one switch;
everything that watches, records or exports is imported when a session really begins.
"""

from __future__ import annotations

import sys

from ._arguments import check_arguments, check_awaits, with_arguments
from ._config import telemetry_enabled
from ._errors import ConfigurationError
from ._stderr import tell

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Any, Literal, Self

    from ._config import Filter, FilterPair, Settings
    from ._ids import Ids
    from ._runtime import Attachment
    from .model import Exporter, Statistics, Summary
    from .otel import MetricsExporter, MetricsListener

__all__ = ("Session", "session")


class Session:
    """A stretch of a program's life that is watched; made by `session`.

    It is a context manager, asynchronous and synchronous. Disabled, it does nothing at all, and all
    its methods still answer.
    """

    def __init__(
        self,
        *,
        enabled: bool | None = None,
        service_name: str | None = None,
        exporters: Sequence[Exporter] | None = None,
        loops: Literal["current", "all"] | None = None,
        awaits: Literal["suspended", "all"] | None = None,
        handle_signals: bool = False,
        settings: Settings | None = None,
        ids: Ids | None = None,
        manual_clock: bool = False,
        on_request: bool = False,
        is_lasting: bool = False,
    ) -> None:
        check_arguments(enabled, service_name, exporters, loops, awaits)
        self._enabled = enabled
        self._given: dict[str, Any] = {
            "enabled": enabled,
            "service_name": service_name,
            "awaits": awaits,
        }
        self._exporters = exporters
        self._loops = loops
        self._on_request = on_request  # watches no loop by itself, unless all of them
        #: It delivers to where the environment says until the process ends: others need not.
        self.is_lasting = is_lasting
        self.in_effect: Settings | None = None  #: its settings, once it has begun
        self._lasting: Session | None = None  # another one, which delivers on behalf of this one
        self._handle_signals = handle_signals
        self._settings = settings
        self._ids = ids
        self._manual_clock = manual_clock
        self._attachment: Attachment | None = None
        self._metrics: MetricsExporter | None = None
        self._signals: Any = None
        self._filters: FilterPair | None = None

    def __repr__(self) -> str:
        state = "off" if not self.is_enabled else "ended" if self.is_closed else "open"
        return f"<aperf session, {state}>"

    @property
    def is_enabled(self) -> bool:
        """Whether it watches, or has watched until it ended."""
        return self._attachment is not None

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._attachment is not None and self._attachment.is_closed

    # -------------------------------------------------------------------------------- begin and end

    def __enter__(self) -> Self:
        """Begin."""
        self._begin()
        return self

    async def __aenter__(self) -> Self:
        """Begin, and let the loop turn once, so that the calling task is watched from here on."""
        self._begin()
        try:
            await self._turn()
        except BaseException:  # cancelled: nobody will call __aexit__
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """End, and wait for the delivery unless a loop runs here: then it goes on behind it."""
        if self._attachment is not None and running_loop() is None:
            self.end_and_wait()
        else:
            self._end()

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """End, and wait for the delivery, for no longer than the shutdown timeout."""
        try:
            await self._turn()
        finally:
            closed = self._end()
        if self._attachment is not None and closed is not None:
            await _answer(closed, self._attachment.timeout_s)
            if self._lasting is not None:
                await self._lasting.flush(self._attachment.timeout_s)

    async def _turn(self) -> None:
        """Let the calling task end its step: it is recorded only then, with the wait before it."""
        if self._attachment is not None and running_loop() is not None:  # trio has none
            from asyncio import sleep

            await sleep(0)

    def end_and_wait(self) -> bool:
        """End, and block until all is delivered, for no longer than the shutdown timeout.

        Returns:
            Whether all destinations confirmed all of it.
        """
        closed = self._end()
        if self._attachment is None or closed is None:
            return True
        from ._runtime import GRACE_S, wait

        limit_s = self._attachment.timeout_s
        result = wait(closed, limit_s + GRACE_S)
        lasting = None if self._lasting is None else self._lasting._attachment
        return result and (lasting is None or wait(lasting.flush(limit_s), limit_s + GRACE_S))

    def _end(self) -> Future[bool] | None:
        if self._attachment is None:
            return None
        if self._signals is not None:
            self._signals.uninstall()
        return self._attachment.close()

    def _begin(self) -> None:
        if self._attachment is not None:
            raise ConfigurationError("a session begins once; make another with aperf.session()")
        settings = self._read()
        if settings is None:
            return
        runtime = load_runtime()
        if runtime is None:
            return
        from ._config import FilterPair
        from ._destinations import metrics_among, sampler_for, session_info

        filters = self._filters = FilterPair(settings)
        try:
            exporters = self._destinations(runtime, settings)
            metrics = metrics_among(exporters)
            self._attachment = runtime.attach(
                settings,
                [metrics, *(each for each in exporters if each is not metrics)],
                session_info(settings),
                ids=self._ids,
                sample=sampler_for(settings, exporters),
                filters=filters,
                manual_clock=self._manual_clock,
            )
        except runtime.NoThread as error:
            _stay_off(str(error))
            return
        self.in_effect = settings
        if self._exporters is None or self.is_lasting:
            self._attachment.runtime.offer(self)
        self._metrics = metrics
        self._follow_filters(filters)
        self._observe(self._attachment)
        self._watch(self._attachment, settings)

    def _destinations(self, runtime: Any, settings: Settings) -> Sequence[Exporter]:
        from ._destinations import default_exporters, further_exporters

        if self._exporters is not None:
            return self._exporters
        shared: Session | None = runtime.shared_session()
        served = None if shared is None or not shared.is_lasting else shared.in_effect
        if served is None or not served.enabled:
            return default_exporters(settings)
        self._lasting = shared  # it sees all that this one does, so nothing is to arrive twice
        return further_exporters(settings, served)

    def _observe(self, attachment: Attachment) -> None:
        from .otel import SessionSource

        if self._metrics is not None and self._metrics in attachment.sink.exporters:
            pipeline = attachment.runtime.pipeline
            self._metrics.observe(SessionSource(pipeline, attachment.sink))

    def _follow_filters(self, filters: FilterPair) -> None:
        """Let destinations know what to keep that do not get their own from the pipeline."""
        exporters = [] if self._attachment is None else self._attachment.sink.exporters
        for exporter in exporters:
            follow = getattr(exporter, "follow_filters", None)
            if follow is not None:
                follow(filters)

    def _watch(self, attachment: Attachment, settings: Settings) -> None:
        running = running_loop()
        try:
            if settings.awaits == "all":
                attachment.watch_awaits()
            if self._loops == "all" or (self._loops is None and running is None):
                attachment.watch_all()
            if running is not None and not self._on_request:
                attachment.watch(running)
            if self._handle_signals:
                from ._runtime import end_all
                from ._signals import Termination

                self._signals = Termination(end_all, attachment.timeout_s)
        except BaseException:
            attachment.close()
            self._attachment = None
            raise

    def is_wanted(self) -> bool:
        """Whether it would watch; if a bad variable is why not, that is told on stderr."""
        return self._read() is not None

    def _read(self) -> Settings | None:
        """Return the settings, None if the session is to stay off."""
        if self._enabled is False:
            return None
        if self._settings is not None:
            settings = with_arguments(self._settings, self._given)
            return settings if settings.enabled or settings.tracy_enabled else None
        try:
            if self._enabled is None and not telemetry_enabled():
                return None
            from ._config import read_settings_with_warnings

            settings, warnings = read_settings_with_warnings(**self._given)
            if settings.awaits == "all":
                check_awaits()
        except ConfigurationError as error:
            # A library must not fail its user's request because of a variable.
            _stay_off(*str(error).splitlines())
            return None
        tell(*warnings)
        return settings

    def set_filter(
        self, *, logs: Filter | str | None = None, traces: Filter | str | None = None
    ) -> None:
        """Filter otherwise from now on; None leaves a filter as it is.

        Args:
            logs: of log records (see ``APERF_LOG``).
            traces: of the program's own spans (see ``APERF_TRACE``).

        Raises:
            ConfigurationError: a directive is none; nothing has changed then.
        """
        if self._filters is not None:
            self._filters.replace(logs=logs, traces=traces)
            self._follow_filters(self._filters)

    # ---------------------------------------------------------------------------------------- loops

    def watch(self, loop: Any) -> None:
        """Watch a further loop; if it runs on another thread, from its next turn on.

        Raises:
            InstrumentationError: the loop's methods cannot be shadowed.
        """
        if self._attachment is not None:
            self._attachment.watch(loop)

    def watches(self, loop: Any) -> bool:
        """Say whether it watches a loop, or has nothing to watch with."""
        return self._attachment is None or self._attachment.watches(loop)

    def unwatch(self, loop: Any) -> None:
        """Stop watching a loop."""
        if self._attachment is not None:
            self._attachment.unwatch(loop)

    # -------------------------------------------------------------------------------------- results

    def statistics(self) -> Statistics:
        """Return the counters as of the last drain; `flush` first for exact ones."""
        from .model import Statistics

        attachment = self._attachment
        if attachment is None:
            return Statistics()
        return attachment.runtime.pipeline.statistics(attachment.sink)

    def summary(self) -> Summary:
        """Return what was found out by the last drain; `flush` first for all of it."""
        from .model import Summary

        attachment = self._attachment
        if attachment is None:
            return Summary()
        return attachment.runtime.pipeline.summary(attachment.sink)

    async def start_metrics_listener(self, address: str | None = None) -> MetricsListener:
        """Serve the session's metrics for Prometheus, until the listener is stopped or it ends.

        Args:
            address: ``HOST:PORT``, ``[IPv6]:PORT``, or ``:PORT`` for all interfaces; port 0 takes
                any free one. By default that of ``METRICS_LISTEN_ADDRESS``.

        Returns:
            What tells `port` and `url`, and has ``await stop()``. Of a session that is off, it
            listens nowhere.

        Raises:
            ConfigurationError: there is no address, or nothing can listen there.
        """
        from .otel import MetricsListener

        if self._metrics is None:
            return MetricsListener()
        return await self._metrics.listen(address)

    async def flush(self, timeout: float | None = None) -> bool:
        """Have everything recorded so far delivered.

        Args:
            timeout: seconds; by default the shutdown timeout of the settings.

        Returns:
            Whether all destinations confirmed all of it in time, and nothing was lost since the
            last flush.
        """
        attachment = self._attachment
        if attachment is None:
            return True
        limit_s = attachment.timeout_s if timeout is None else timeout
        await self._turn()
        result = await _answer(attachment.flush(limit_s), limit_s)
        return result and (self._lasting is None or await self._lasting.flush(limit_s))


async def _answer(future: Future[bool], timeout_s: float) -> bool:
    """Wait for the exporter thread without blocking the loop; no answer in time is a no."""
    import asyncio

    from ._runtime import GRACE_S, wait

    loop = running_loop()
    if loop is None:  # trio's
        from anyio.to_thread import run_sync

        return await run_sync(wait, future, timeout_s + GRACE_S, abandon_on_cancel=True)
    answered = asyncio.Event()

    def wake(_: object) -> None:
        try:
            loop.call_soon_threadsafe(answered.set)
        except RuntimeError:
            pass  # the loop is closed, and whoever waited is gone

    future.add_done_callback(wake)
    try:
        async with asyncio.timeout(timeout_s + GRACE_S):
            await answered.wait()
    except TimeoutError:
        return False
    return future.result()


def running_loop() -> Any:
    """Return the loop that runs on this thread, None for none; asyncio is not imported for it."""
    # Another thread may be importing it right now.
    get = getattr(sys.modules.get("asyncio"), "_get_running_loop", None)
    return None if get is None else get()


def load_runtime() -> Any:
    """Return the module that runs sessions; None, after a line that says why, if it is too late."""
    try:
        from . import _runtime
    except RuntimeError as error:  # concurrent.futures, while the interpreter is about to exit
        _stay_off(str(error))
        return None
    return _runtime


def _stay_off(*problems: str) -> None:
    tell(*problems, "telemetry stays off")


def session(
    *,
    enabled: bool | None = None,
    service_name: str | None = None,
    exporters: Sequence[Exporter] | None = None,
    loops: Literal["current", "all"] | None = None,
    awaits: Literal["suspended", "all"] | None = None,
    handle_signals: bool = False,
    settings: Settings | None = None,
) -> Session:
    """Return a session, to be used with ``async with`` or ``with``.

    Args:
        enabled: whether it watches; None leaves it to ``TELEMETRY_ENABLED`` and
            ``TRACY_ENABLED``.
        service_name: the program's name in OpenTelemetry's terms.
        exporters: destinations; None for those that the environment asks for, else the summary; an
            empty list records and counts, and delivers nowhere.
        loops: "current" watches the loop that runs, "all" every loop that is made while the session
            is open; by default the current one if one runs, else all.
        awaits: "suspended" sees awaits that suspend, "all" every one (Python 3.12 and later).
        handle_signals: deliver on SIGTERM before dying of it, where nobody else handles it.
        settings: instead of those of the environment; other arguments win over them.

    Raises:
        ConfigurationError: an argument is not accepted. A bad *variable* is one line on stderr, and
            leaves telemetry off.
    """
    return Session(
        enabled=enabled,
        service_name=service_name,
        exporters=exporters,
        loops=loops,
        awaits=awaits,
        handle_signals=handle_signals,
        settings=settings,
    )

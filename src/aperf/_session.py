"""Sessions: what a program opens to be watched.

While aperf is off, this module is all that is loaded beside the reader of the one switch;
everything that watches, records or exports is imported when a session really begins.
"""

from __future__ import annotations

import sys
from typing import Self

from ._config import complaint, telemetry_enabled
from ._errors import ConfigurationError

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Any, Literal

    from ._config import Settings
    from ._ids import Ids
    from ._runtime import Attachment
    from .model import Exporter, SessionInfo, Statistics, Summary

__all__ = ("Session", "instrument_loop", "is_active", "session", "uninstrument_loop")

LOOPS = ("current", "all")
AWAITS = ("suspended", "all")


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
    ) -> None:
        if loops is not None and loops not in LOOPS:
            raise ConfigurationError(complaint("loops", loops, " or ".join(LOOPS)))
        if awaits is not None and awaits not in AWAITS:
            raise ConfigurationError(complaint("awaits", awaits, " or ".join(AWAITS)))
        if awaits == "all":
            _check_awaits()
        self._enabled = enabled
        self._overrides: dict[str, Any] = {"service_name": service_name, "awaits": awaits}
        self._exporters = exporters
        self._loops = loops
        self._handle_signals = handle_signals
        self._settings = settings
        self._ids = ids
        self._manual_clock = manual_clock
        self._attachment: Attachment | None = None
        self._signals: Any = None

    def __repr__(self) -> str:
        return f"<aperf session, {'open' if self.is_enabled else 'off'}>"

    @property
    def is_enabled(self) -> bool:
        """Whether it has begun and records."""
        return self._attachment is not None

    # -------------------------------------------------------------------------------- begin and end

    def __enter__(self) -> Self:
        """Begin."""
        self._begin()
        return self

    async def __aenter__(self) -> Self:
        """Begin, and let the loop turn once, so that the calling task is watched from here on."""
        self._begin()
        if self._attachment is not None:
            from asyncio import sleep

            await sleep(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """End, and wait for the delivery unless a loop runs here: then it goes on behind it."""
        attachment = self._attachment
        if attachment is None:
            return
        from asyncio import _get_running_loop

        from ._runtime import GRACE_S, wait

        self._end_signals()
        closed = attachment.close()
        if _get_running_loop() is None:
            wait(closed, attachment.timeout_s + GRACE_S)

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """End, and wait for the delivery, for no longer than the shutdown timeout."""
        if self._attachment is not None:
            self._end_signals()
            await _answer(self._attachment.close(), self._attachment.timeout_s)

    def _begin(self) -> None:
        if self._attachment is not None:
            raise ConfigurationError("a session begins once; make another with aperf.session()")
        settings = self._read()
        if settings is None:
            return
        from ._runtime import attach
        from ._sampling import sampler

        exporters = default_exporters(settings) if self._exporters is None else self._exporters
        self._attachment = attach(
            settings,
            exporters,
            _info(settings),
            ids=self._ids,
            sample=sampler(settings),
            manual_clock=self._manual_clock,
        )
        self._watch(self._attachment, settings)

    def _watch(self, attachment: Attachment, settings: Settings) -> None:
        from asyncio import _get_running_loop

        running = _get_running_loop()
        try:
            if settings.awaits == "all":
                attachment.watch_awaits()
            if self._loops == "all" or (self._loops is None and running is None):
                attachment.watch_all()
            if running is not None:
                attachment.watch(running)
            if self._handle_signals:
                from ._signals import Termination

                self._signals = Termination(self.__exit__, attachment.timeout_s)
        except BaseException:
            attachment.close()
            self._attachment = None
            raise

    def _end_signals(self) -> None:
        if self._signals is not None:
            self._signals.uninstall()

    def _read(self) -> Settings | None:
        """Return the settings, None if the session is to stay off."""
        if self._settings is not None:
            enabled = self._settings.enabled if self._enabled is None else self._enabled
            return self._settings if enabled else None
        if self._enabled is False:
            return None
        try:
            if self._enabled is None and not telemetry_enabled():
                return None
            from ._config import read_settings_with_warnings

            settings, warnings = read_settings_with_warnings(**self._overrides)
            if settings.awaits == "all":
                _check_awaits()
        except ConfigurationError as error:
            # A library must not fail its user's request because of a variable.
            for line in str(error).splitlines():
                print(f"aperf: {line}", file=sys.stderr)  # noqa: T201
            print("aperf: telemetry stays off", file=sys.stderr)  # noqa: T201
            return None
        for line in warnings:
            print(f"aperf: {line}", file=sys.stderr)  # noqa: T201
        return settings

    @property
    def is_closed(self) -> bool:
        """Whether it has ended."""
        return self._attachment is not None and self._attachment.is_closed

    def watch(self, loop: Any) -> None:
        """Watch a further loop; if it runs on another thread, from its next turn on.

        Raises:
            InstrumentationError: the loop's methods cannot be shadowed.
        """
        if self._attachment is not None:
            self._attachment.watch(loop)

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

    async def flush(self, timeout: float | None = None) -> bool:
        """Have everything recorded so far delivered.

        Args:
            timeout: seconds; by default the shutdown timeout of the settings.

        Returns:
            Whether all destinations confirmed all of it in time.
        """
        attachment = self._attachment
        if attachment is None:
            return True
        limit_s = attachment.timeout_s if timeout is None else timeout
        return await _answer(attachment.flush(limit_s), limit_s)


async def _answer(future: Any, timeout_s: float) -> bool:
    """Wait for the exporter thread without blocking the loop; no answer in time is a no."""
    import asyncio

    from ._runtime import GRACE_S

    try:
        return bool(await asyncio.wait_for(asyncio.wrap_future(future), timeout_s + GRACE_S))
    except TimeoutError:
        return False


def _check_awaits() -> None:
    if sys.version_info < (3, 12):
        raise ConfigurationError(
            "awaits='all' needs sys.monitoring, which came with Python 3.12; this is Python"
            f" {sys.version_info.major}.{sys.version_info.minor}: use awaits='suspended'"
        )


def _info(settings: Settings) -> SessionInfo:
    import os
    import uuid
    from importlib.metadata import version

    from ._config import resource_attributes
    from ._recorder import IMPLEMENTATION
    from .model import SessionInfo

    release = version("aperf")
    resource: dict[str, Any] = {
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "aperf",
        "telemetry.sdk.version": release,
        "process.pid": os.getpid(),
        "service.instance.id": str(uuid.uuid4()),
        **dict(resource_attributes()),
        "service.name": settings.service_name,
    }
    return SessionInfo(
        service_name=settings.service_name,
        resource=tuple(resource.items()),
        implementation=IMPLEMENTATION,
        version=release,
    )


def default_exporters(settings: Settings, *, summary: bool = False) -> list[Exporter]:
    """Return the destinations that the settings ask for.

    Args:
        settings: what to follow.
        summary: whether the summary is wanted beside another destination too.
    """
    from . import exporters

    found: list[Exporter] = []
    if settings.otlp is not None:
        found.append(exporters.OtlpExporter.from_settings(settings.otlp))
    if settings.summary != "none" and (summary or not found):
        found.append(exporters.SummaryExporter(settings.summary, settings.summary_file))
    return found


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
        enabled: whether it watches; None leaves it to ``TELEMETRY_ENABLED``.
        service_name: the program's name in OpenTelemetry's terms.
        exporters: destinations; None for those that the environment asks for, else the summary; an
            empty list records and counts, and delivers nowhere.
        loops: "current" watches the loop that runs, "all" every loop that is made while the session
            is open; by default the current one if one runs, else all.
        awaits: "suspended" sees awaits that suspend, "all" every one (Python 3.12 and later).
        handle_signals: deliver on SIGTERM before dying of it, where nobody else handles it.
        settings: instead of those of the environment.

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


# ------------------------------------------------------------------------------ one line in a
# client

_OFF = Session(enabled=False)
#: Whether the environment has been seen to leave telemetry off; one look is enough.
_is_off = False
_process: Session | None = None


def instrument_loop(loop: Any = None, **options: Any) -> Session:
    """Watch a loop from now on, starting the process-wide session at the first call.

    Without ``TELEMETRY_ENABLED`` it returns at once, and nothing is imported or touched. It may be
    called as often as one likes, also on the path of every request.

    Args:
        loop: the loop; by default the one that runs. Without one, nothing happens.
        **options: as for `session`; they count at the first call that starts the session.
    """
    if _is_off and not options:
        return _OFF
    return _instrument_loop(loop, options)


def _instrument_loop(loop: Any, options: dict[str, Any]) -> Session:
    global _is_off, _process
    if _process is not None and not _process.is_closed:
        started = _process
    else:
        started = Session(**{"loops": "current", **options})
        if loop is None and sys.modules.get("asyncio") and _running_loop() is None:
            return _OFF
        started.__enter__()
        if not started.is_enabled:
            _is_off = not options
            return _OFF
        _process = started
    target = _running_loop() if loop is None else loop
    if target is not None:
        started.watch(target)
    return started


def _running_loop() -> Any:
    from asyncio import _get_running_loop

    return _get_running_loop()


def uninstrument_loop(loop: Any = None) -> None:
    """Stop watching a loop that `instrument_loop` began to watch (by default the one that runs)."""
    target = _running_loop() if loop is None and _process is not None else loop
    if _process is not None and target is not None:
        _process.unwatch(target)


def is_active() -> bool:
    """Say whether a session is open in this process."""
    runtime = sys.modules.get("aperf._runtime")
    return runtime is not None and runtime.current() is not None

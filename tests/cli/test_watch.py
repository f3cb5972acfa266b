"""The session around a program ends once, and never changes how the program ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Self

import pytest

from aperf._cli._watch import Watch
from aperf._config import OtlpSettings, Settings
from aperf.exporters import TracyExporter
from aperf.model import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class FakeSession:
    """Counts how often it ends, and does then what the test wants."""

    def __init__(self) -> None:
        self.ended = 0
        self.arguments: dict[str, Any] = {}
        self.at_end: Callable[[], object] = int
        self.counters = Statistics()

    def __call__(self, **arguments: Any) -> FakeSession:
        self.arguments = arguments
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended += 1
        self.at_end()

    def statistics(self) -> Statistics:
        return self.counters


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSession]:
    """A session that is not one, and a process that handles SIGTERM in no way."""
    fake = FakeSession()
    monkeypatch.setattr("aperf._cli._watch.Session", fake)
    previous = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield fake
    signal.signal(signal.SIGTERM, previous)


def test_arguments(session: FakeSession) -> None:
    """The session is told to watch all loops, and to print the summary beside what is set."""
    settings = Settings(enabled=True, service_name="shop", otlp=OtlpSettings())
    with Watch(settings):
        exporters = session.arguments.pop("exporters")
        arguments = {"loops": "all", "settings": settings, "is_lasting": True}
        assert arguments == session.arguments
    expected = ["DefaultExporter", "SummaryExporter", "MetricsExporter"]
    assert expected == [type(each).__name__ for each in exporters]
    assert 1 == session.ended


@pytest.mark.parametrize(("summary", "told"), [("none", True), ("text", False)])
def test_losses(
    session: FakeSession, summary: Any, told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where no summary tells of them, a line does."""
    session.counters = Statistics(spans=7, dropped_spans=3)
    with Watch(Settings(enabled=True, service_name="shop", summary=summary)):
        pass
    assert told == ("3 of 7 spans were not delivered" in capsys.readouterr().err)


def test_signal_is_given_back(session: FakeSession) -> None:
    """The handler for SIGTERM is there only while the program runs."""
    with Watch(Settings()):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_handler_of_program_stays(session: FakeSession) -> None:
    """A handler that the program has installed meanwhile is not touched."""
    with Watch(Settings()):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_failed_delivery(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> None:
    """A delivery that fails is one line on stderr, and the program's end stays what it was."""

    def fail() -> None:
        raise OSError(28, "No space left on device")

    session.at_end = fail
    with Watch(Settings()):
        pass
    expected = "aperf: delivery failed: OSError: [Errno 28] No space left on device\n"
    assert ("", expected) == capsys.readouterr()


def test_interrupted_delivery(session: FakeSession, capsys: pytest.CaptureFixture[str]) -> None:
    """Who presses Ctrl-C during the delivery wants it to stop, and is told what that means."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    session.at_end = interrupt
    with Watch(Settings()):
        pass
    expected = "aperf: interrupted; what was not delivered yet is lost\n"
    assert ("", expected) == capsys.readouterr()


def test_terminated_during_delivery(session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGTERM that comes during the delivery takes effect after it."""
    events: list[object] = []

    def deliver() -> None:
        signal.raise_signal(signal.SIGTERM)
        events.append("delivered")
        monkeypatch.setattr(signal, "raise_signal", events.append)

    session.at_end = deliver
    with Watch(Settings()):
        pass
    assert ["delivered", signal.SIGTERM] == events
    assert 1 == session.ended


@pytest.mark.parametrize(
    ("settings", "address", "expected"),
    [
        (
            Settings(enabled=True, tracy_enabled=True),
            "127.0.0.1:8087",
            "aperf: a Tracy viewer can connect to 127.0.0.1:8087\n",
        ),
        (Settings(enabled=True, tracy_enabled=True), None, ""),  # it could not listen
        (Settings(enabled=True), "127.0.0.1:8087", ""),
    ],
)
def test_viewers_address_is_told(
    session: FakeSession,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    address: str | None,
    expected: str,
) -> None:
    """Whoever wants to look is told where: the port may not be the one that was asked for."""
    monkeypatch.setattr(TracyExporter, "address", address)
    with Watch(settings):
        assert expected == capsys.readouterr().err

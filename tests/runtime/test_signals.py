"""SIGTERM: sessions that handle signals are delivered, and the process dies of it all the same."""

from __future__ import annotations

import signal
import threading
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

import aperf
from aperf._signals import Termination
from tests.programs import run_to_its_end

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def default_handler() -> Iterator[None]:
    """Nobody handles SIGTERM, before and after."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    assert signal.SIG_DFL is signal.signal(signal.SIGTERM, before)


def handler() -> object:
    """Return who handles SIGTERM."""
    return signal.getsignal(signal.SIGTERM)


def void(_: object) -> None:
    """Return nothing."""


def fire() -> None:
    """Call the handler of SIGTERM, as Python does when the signal has come."""
    installed = handler()
    assert callable(installed)
    installed(signal.SIGTERM, None)


def test_installed_only_when_asked() -> None:
    """A session leaves signals alone unless it is to handle them, and gives them back."""
    with aperf.session(enabled=True, exporters=[]):
        assert signal.SIG_DFL is handler()
    with aperf.session(enabled=True, exporters=[], handle_signals=True):
        assert signal.SIG_DFL is not handler()
    assert signal.SIG_DFL is handler()


def test_off() -> None:
    """A session that is off handles nothing."""
    with aperf.session(enabled=False, handle_signals=True):
        assert signal.SIG_DFL is handler()


@pytest.mark.parametrize("theirs", [signal.SIG_IGN, lambda *_: None], ids=["ignored", "handled"])
def test_others_come_first(theirs: signal.Handlers) -> None:
    """A signal that is handled or ignored already stays so."""
    signal.signal(signal.SIGTERM, theirs)
    with aperf.session(enabled=True, exporters=[], handle_signals=True):
        assert theirs is handler()
    assert theirs is handler()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_others_may_take_over() -> None:
    """Who installs a handler while the session is open keeps it."""

    def theirs(*_: object) -> None: ...

    with aperf.session(enabled=True, exporters=[], handle_signals=True):
        signal.signal(signal.SIGTERM, theirs)
    assert theirs is handler()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_only_on_the_main_thread() -> None:
    """Elsewhere nothing can be installed, and nothing is tried."""
    seen: list[object] = []

    def run() -> None:
        with aperf.session(enabled=True, exporters=[], handle_signals=True):
            seen.append(handler())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert [signal.SIG_DFL] == seen


def test_uninstalled_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uninstalled on another thread, the handler stays, but lets the signal do its work at once."""
    delivered: list[str] = []
    raised: list[int] = []
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    termination = Termination(lambda: delivered.append("all"), 1)
    thread = threading.Thread(target=termination.uninstall)
    thread.start()
    thread.join()
    fire()
    assert ([], [signal.SIGTERM]) == (delivered, raised)


def test_delivery_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that hangs is not waited for longer than it may take."""
    raised: list[int] = []
    release = threading.Event()
    monkeypatch.setattr(signal, "raise_signal", raised.append)
    monkeypatch.setattr("aperf._signals.GRACE_S", 0.05)
    Termination(lambda: void(release.wait(20)), 0.05)
    fire()
    release.set()
    assert [signal.SIGTERM] == raised


def test_delivery_where_no_thread_can_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the interpreter exits there are no new threads: then it is delivered right here."""
    delivered: list[str] = []

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(signal, "raise_signal", lambda _: None)
    Termination(lambda: delivered.append(threading.current_thread().name), 1)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    fire()
    assert ["MainThread"] == delivered


PROGRAM = dedent("""
    import asyncio, os, signal, sys, time
    import aperf

    async def job():
        await asyncio.sleep(0)

    async def work():
        await asyncio.gather(job(), job())
        print("worked", flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(60)

    async def in_loop():
        async with aperf.session(handle_signals=True):
            await work()

    def around():
        with aperf.session(handle_signals=True):
            asyncio.run(work())

    def between():
        with aperf.session(handle_signals=True):
            asyncio.run(job())
            print("worked", flush=True)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    def in_another():
        with aperf.session(enabled=True, exporters=[], handle_signals=True), aperf.session():
            asyncio.run(work())
""")


@pytest.mark.parametrize("program", ["asyncio.run(in_loop())", "around()", "between()"])
def test_delivered(tmp_path: Path, implementation: str, program: str) -> None:
    """On SIGTERM what was recorded is delivered; the exit status is that of the signal."""
    ended = run_to_its_end(PROGRAM + program, tmp_path, implementation=implementation)
    assert ("worked\n", "", -signal.SIGTERM) == ended.completed
    assert ended.tasks["job"] >= 1


def test_all_sessions_are_delivered(tmp_path: Path, implementation: str) -> None:
    """The one session that handles the signal has all others delivered, too."""
    ended = run_to_its_end(PROGRAM + "in_another()", tmp_path, implementation=implementation)
    assert ("worked\n", "", -signal.SIGTERM) == ended.completed
    assert 2 == ended.tasks["job"]


def test_twice(tmp_path: Path) -> None:
    """A second SIGTERM during the delivery changes nothing."""
    program = PROGRAM + dedent("""
        from aperf.exporters import SummaryExporter

        class Slow(SummaryExporter):
            def flush(self, deadline_ns):
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(0.2)
                return True

        with aperf.session(exporters=[Slow("json", "summary.json")], handle_signals=True):
            asyncio.run(work())
    """)
    ended = run_to_its_end(program, tmp_path, implementation="python")
    assert ("worked\n", "", -signal.SIGTERM) == ended.completed
    assert 2 == ended.tasks["job"]


def test_forked_child_dies_at_once(tmp_path: Path) -> None:
    """A forked child has nothing to deliver; its SIGTERM is what it was without a session."""
    program = PROGRAM + dedent("""
        with aperf.session(handle_signals=True):
            asyncio.run(job())
            child = os.fork()
            if not child:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """)
    options = ("-W", "ignore::DeprecationWarning")
    ended = run_to_its_end(program, tmp_path, implementation="python", options=options)
    assert ("-15\n", "", 0) == ended.completed
    assert 1 == ended.tasks["job"]

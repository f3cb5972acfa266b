"""One line in somebody's client: a session for the process, and each loop that asks for it."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

import aperf
from aperf import _client, _stderr
from aperf._instrument.loop import Loops
from aperf.exporters import MemoryExporter
from tests.loops import in_loop
from tests.programs import run_program
from tests.scripted_receiver import scripted_receiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("twin")


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Telemetry is on; the session of the process begins in the test and ends after it."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "true")
    monkeypatch.setattr(_client, "_is_off", False)
    monkeypatch.setattr(_client, "_process", None)
    monkeypatch.setattr(_stderr, "_told", set())
    yield
    if _client._process is not None:
        _client._process.__exit__()


@pytest.fixture
def exporter() -> MemoryExporter:
    """Where the process's session delivers to."""
    return MemoryExporter()


async def work(name: str) -> None:
    """Suspend in a task called so."""
    await asyncio.create_task(asyncio.sleep(0), name=name)


def names(exporter: MemoryExporter) -> set[str]:
    """Return the names of the tasks that were seen."""
    return {str(dict(span.attributes).get("asyncio.task.name")) for span in exporter.spans}


def is_watched(loop: asyncio.AbstractEventLoop) -> bool:
    """Say whether a loop is shadowed."""
    return "call_soon" in vars(loop)


@in_loop
async def test_starts_a_session(exporter: MemoryExporter) -> None:
    """The first call starts the session of the process; the caller's next steps are seen."""
    session = aperf.instrument_loop(exporters=[exporter])
    assert session.is_enabled
    assert aperf.is_active()
    await work("seen")
    assert await session.flush()
    assert "seen" in names(exporter)


@in_loop
async def test_one_session(exporter: MemoryExporter) -> None:
    """Later calls return the same session, whatever they ask for."""
    session = aperf.instrument_loop(exporters=[exporter])
    assert session is aperf.instrument_loop()
    assert session is aperf.instrument_loop(exporters=[MemoryExporter()], service_name="other")


@in_loop
async def test_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called for each request, it installs once."""
    installs: list[Any] = []
    original = Loops.install

    def install(self: Loops, loop: Any, session: int) -> None:
        installs.append(loop)
        original(self, loop, session)

    monkeypatch.setattr(Loops, "install", install)
    for _ in range(10_000):
        aperf.instrument_loop(exporters=[])
    assert [asyncio.get_running_loop()] == installs


def test_without_a_loop() -> None:
    """Where no loop runs nothing happens, and nothing begins."""
    assert not aperf.instrument_loop().is_enabled
    assert not aperf.is_active()
    aperf.uninstrument_loop()


def test_given_loop(exporter: MemoryExporter) -> None:
    """A loop may be given before it runs."""
    with asyncio.Runner() as runner:
        session = aperf.instrument_loop(runner.get_loop(), exporters=[exporter])
        runner.run(work("given"))
        session.__exit__()
    assert "given" in names(exporter)


def test_second_loop_in_a_second_thread(exporter: MemoryExporter) -> None:
    """Each loop that asks for it is watched, and no other."""

    async def client(name: str) -> None:
        aperf.instrument_loop(exporters=[exporter])
        await work(name)

    asyncio.run(client("first"))
    asyncio.run(work("bystander"))
    thread = threading.Thread(target=lambda: asyncio.run(client("second")))
    thread.start()
    thread.join()
    assert _client._process is not None
    _client._process.__exit__()
    assert {"first", "second"} <= names(exporter)
    assert "bystander" not in names(exporter)


def test_many_threads_at_once() -> None:
    """First calls on many threads at once start one session."""
    together = threading.Barrier(8)
    sessions: list[aperf.Session] = []

    async def client() -> None:
        together.wait(10)
        sessions.append(aperf.instrument_loop(exporters=[]))

    threads = [threading.Thread(target=lambda: asyncio.run(client())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {sessions[0]} == set(sessions)
    assert sessions[0].is_enabled


@in_loop
async def test_uninstrument(exporter: MemoryExporter) -> None:
    """A loop that is no longer wanted is as it was; it can be asked for again."""
    loop = asyncio.get_running_loop()
    session = aperf.instrument_loop(exporters=[exporter])
    assert is_watched(loop)
    aperf.uninstrument_loop()
    assert not is_watched(loop)
    await work("unseen")
    aperf.uninstrument_loop(loop)
    aperf.instrument_loop()
    assert is_watched(loop)
    await work("seen")
    await session.flush()
    assert "seen" in names(exporter)
    assert "unseen" not in names(exporter)


@in_loop
async def test_uninstrument_leaves_other_sessions() -> None:
    """A loop that another session watches too stays watched."""
    aperf.instrument_loop(exporters=[])
    async with aperf.session(enabled=True, exporters=[]):
        aperf.uninstrument_loop()
        assert is_watched(asyncio.get_running_loop())
    assert not is_watched(asyncio.get_running_loop())


def test_loop_that_runs_on_another_thread(exporter: MemoryExporter) -> None:
    """A loop of another thread is watched from its next turn on, and let go likewise."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(name: str) -> bool:
        asyncio.run_coroutine_threadsafe(work(name), loop).result(20)
        return is_watched(loop)

    aperf.instrument_loop(loop, exporters=[exporter])
    assert run("seen")
    aperf.uninstrument_loop(loop)
    assert not run("unseen")
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    assert _client._process is not None
    _client._process.__exit__()
    assert "seen" in names(exporter)
    assert "unseen" not in names(exporter)


def test_session_that_ends_before_the_loop_turns() -> None:
    """A loop that was to be watched at its next turn is left alone if the session is over then."""
    loop = asyncio.new_event_loop()
    blocked, release = threading.Event(), threading.Event()
    loop.call_soon(blocked.set)
    loop.call_soon(release.wait, 20)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    assert blocked.wait(20)
    aperf.instrument_loop(loop, exporters=[]).__exit__()
    release.set()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    assert not is_watched(loop)
    loop.close()


@in_loop
async def test_anew_after_the_end() -> None:
    """When the process's session has been ended, the next call starts another one."""
    first = aperf.instrument_loop(exporters=[])
    first.__exit__()
    second = aperf.instrument_loop(exporters=[])
    assert first is not second
    assert second.is_enabled
    await second.flush()


@in_loop
async def test_bad_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad variable is told once, and the client's requests go on unwatched."""
    monkeypatch.setenv("APERF_RING_MB", "lots")
    for _ in range(3):
        assert not aperf.instrument_loop().is_enabled
    first, second = capsys.readouterr().err.splitlines()
    assert "APERF_RING_MB" in first
    assert "aperf: telemetry stays off" == second


@in_loop
async def test_bad_option() -> None:
    """A bad option is the client's mistake, and an error."""
    with pytest.raises(aperf.ConfigurationError, match="awaits"):
        aperf.instrument_loop(awaits="some")
    with pytest.raises(TypeError):
        aperf.instrument_loop(colour="red")


def test_delivered_at_exit(tmp_path: Path) -> None:
    """Nobody ends the process's session: the exit of the interpreter does."""
    program = """
        import asyncio, aperf
        async def main():
            aperf.instrument_loop()
            await asyncio.create_task(asyncio.sleep(0))
        asyncio.run(main())
    """
    variables = {"TELEMETRY_ENABLED": "on", "APERF_EXPORT_INTERVAL_MS": "60000"}
    completed = run_program(program, env=variables, cwd=tmp_path)
    assert ("", 0) == (completed.stdout, completed.code)
    assert "sleep" in completed.stderr


# -------------------------------------------------------------------- beside the program's session


def test_the_programs_session_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that delivers to where the environment says serves clients, too: nothing doubles."""
    monkeypatch.setenv("APERF_SUMMARY", "none")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with aperf.session() as session:
            assert session is aperf.instrument_loop()
            aperf.uninstrument_loop()
            assert is_watched(loop)  # the program asked for that
        assert session is not aperf.instrument_loop()
        assert is_watched(loop)

    asyncio.run(main())


def test_a_loop_that_the_client_brings_to_the_programs_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is watched for as long as the client wants it, or the session lasts."""
    monkeypatch.setenv("APERF_SUMMARY", "none")

    async def client(session: aperf.Session) -> None:
        assert session is aperf.instrument_loop()
        assert is_watched(asyncio.get_running_loop())
        aperf.uninstrument_loop()
        assert not is_watched(asyncio.get_running_loop())

    async def main() -> None:
        async with aperf.session() as session:
            await asyncio.to_thread(asyncio.run, client(session))

    asyncio.run(main())


@in_loop
async def test_destinations_of_its_own(exporter: MemoryExporter) -> None:
    """A session with other destinations is another matter, on either side."""
    async with aperf.session(exporters=[MemoryExporter()]) as session:
        assert session is not aperf.instrument_loop(exporters=[exporter])
        await work("seen")
    assert await aperf.instrument_loop().flush()
    assert "seen" in names(exporter)


def test_a_session_of_the_program_that_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the session of the process delivers is not sent again, and a flush waits for it."""

    async def main() -> tuple[bool, set[str]]:
        aperf.instrument_loop()
        async with aperf.session() as session:
            await work("seen")
            flushed = await session.flush()
            during = {span.name for span in receiver.accepted}
            await work("later")
        return flushed, during

    with scripted_receiver() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.port}"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint)
        flushed, during = asyncio.run(main())
        assert _client._process is not None
        _client._process.end_and_wait()  # while somebody listens
        delivered = [span.name for span in receiver.accepted if span.name == "sleep"]
    assert flushed
    assert "sleep" in during
    assert ["sleep"] * 2 == delivered

"""One log line for each span that has ended."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

import aperf
import aperf.logging
from aperf._config import Settings
from tests.programs import run_program
from tests.watched import run_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    """Runs a program in a session that tells of closed spans; returns what stands on stderr."""

    def run(program: Callable[[], Coroutine[Any, Any, None]], **settings: Any) -> list[str]:
        given = {"summary": "none", "log_closed_spans": True, "log_format": "json", **settings}

        async def main() -> None:
            async with aperf.session(settings=Settings(enabled=True, **given)):
                await program()
                await asyncio.sleep(0)  # so that its last step is over when the session ends

        run_plain(main())
        return capsys.readouterr().err.splitlines()

    return run


def milliseconds(text: str) -> float:
    """Read a time of a line."""
    found = re.fullmatch(r"([\d.]+)(ns|µs|ms|s)", text)
    assert found is not None, text
    return float(found[1]) * {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]


async def checkout() -> None:
    """Wait, and compute."""
    with aperf.span("sale", order=7):
        await asyncio.sleep(0.2)
        end_s = time.thread_time() + 0.05
        while time.thread_time() < end_s:
            pass


async def shop() -> None:
    """Do it in a task."""
    await asyncio.create_task(checkout(), name="till")


def test_json(lines: Callable[..., list[str]]) -> None:
    """The line has the span's name, place, trace, attributes, and how long it ran and waited."""
    told = {line["span"]["name"]: line for line in map(json.loads, lines(shop))}
    span, task = told["sale"], told["checkout"]
    assert ("close", "INFO", "aperf.spans", "till") == (
        span["fields"]["message"],
        span["level"],
        span["target"],
        span["task"],
    )
    assert (__file__, "MainThread", 7) == (
        span["filename"],
        span["threadName"],
        span["fields"]["order"],
    )
    assert checkout.__code__.co_firstlineno + 2 == span["line_number"]
    assert checkout.__code__.co_firstlineno == task["line_number"]
    assert span["trace_id"] == task["trace_id"]
    for line in (span, task):
        assert 45 < milliseconds(line["fields"]["time.busy"])
        assert 190 < milliseconds(line["fields"]["time.idle"])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (
            "compact",
            (
                r"\[[0-9a-f]{8}\] \S+Z  INFO MainThread ThreadId\(\d+\) till sale: aperf\.spans:"
                r" test_log_closed\.py:\d+: close order=7 time\.busy=\S+ time\.idle=\S+"
            ),
        ),
        ("pretty", r"    with order=7 time\.busy=\S+ time\.idle=\S+"),
    ],
)
def test_text(lines: Callable[..., list[str]], form: str, expected: str) -> None:
    """Lines for people have the same."""
    assert 1 == sum(bool(re.fullmatch(expected, line)) for line in lines(shop, log_format=form))


def test_filters(lines: Callable[..., list[str]]) -> None:
    """Spans that are not traced are not told of, nor is any where the filter of logs says so."""

    async def program() -> None:
        with aperf.span("kept"):
            pass
        with aperf.span("left out"):
            pass

    told = "".join(lines(program, trace_filter="info,[left out]=off"))
    assert "kept" in told
    assert "left out" not in told
    assert [] == lines(program, log_filter="warning")
    assert [] == lines(program, log_filter="info,aperf.spans=off")
    assert [] == lines(program, log_closed_spans=False)


def test_how_it_ended(lines: Callable[..., list[str]]) -> None:
    """Errors and cancellations are said."""

    async def program() -> None:
        with pytest.raises(ValueError, match="x"), aperf.span("failing"):
            raise ValueError("x")
        sleeper = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        sleeper.cancel()
        await asyncio.wait([sleeper])

    told = {line["span"]["name"]: line["fields"] for line in map(json.loads, lines(program))}
    assert told["failing"]["error"] is True
    assert told["sleep"]["cancelled"] is True


def test_the_trace_of_opentelemetry(lines: Callable[..., list[str]]) -> None:
    """In a trace of OpenTelemetry's, the line has its id."""
    tracer = TracerProvider().get_tracer("test")
    ids = []

    async def program() -> None:
        with tracer.start_as_current_span("request") as span:
            ids.append(f"{span.get_span_context().trace_id:032x}")
            await shop()

    told = [json.loads(line) for line in lines(program)]
    assert {ids[0]} == {line["trace_id"] for line in told if line["task"] == "till"}


def test_where_other_lines_go(lines: Callable[..., list[str]]) -> None:
    """With `install`, they go where it writes, in its form, and not through any logger."""
    stream, seen = io.StringIO(), []

    class Spy(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.name)

    spy = Spy()
    logging.getLogger().addHandler(spy)
    try:
        with aperf.logging.install(format="json", stream=stream):
            assert [] == lines(shop, log_format=None)
    finally:
        logging.getLogger().removeHandler(spy)
    told = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert "till" in {line["task"] for line in told}
    assert "aperf.spans" not in seen


def test_many(lines: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is counted on a line of its own; nothing waits for it."""
    monkeypatch.setattr("aperf._pipeline._closings.MOST", 10)

    async def program() -> None:
        for _ in range(100):
            with aperf.span("one"):
                pass

    *told, last = [json.loads(line)["fields"]["message"] for line in lines(program)]
    assert {"close"} == set(told)
    assert re.fullmatch(r"\d+ closed spans not shown so far", last)
    assert 101 == len(told) + int(last.split()[0])


def test_more_than_a_turn(lines: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is written in turns, which follow each other soon, until all is written."""
    monkeypatch.setattr("aperf.otel._log_closed._TURN_NS", 0)
    stream = io.StringIO()

    async def program() -> None:
        for _ in range(50):
            with aperf.span("one"):
                pass
        async with asyncio.timeout(30):
            while stream.getvalue().count("close") < 50:
                await asyncio.sleep(0.01)

    with aperf.logging.install(format="compact", stream=stream):
        lines(program, export_interval_ns=10**9)


def test_aperf_run() -> None:
    """A variable is all it takes."""
    program = """
        import asyncio, aperf

        async def main():
            with aperf.span("checkout"):
                await asyncio.sleep(0.01)

        asyncio.run(main())
    """
    env = {"RUST_LOG_CLOSED_SPANS": "true", "APERF_SUMMARY": "none"}
    done = run_program(program, env=env, options=["-m", "aperf", "run"])
    told = done.stderr.splitlines()
    assert ("", 0, 4) == (done.stdout, done.code, len(told)), done.stderr  # two are asyncio's
    assert re.search(r" Task-1 checkout: aperf\.spans: program\.py:5: close time\.busy=", told[0])
    assert re.search(r" Task-1 main: aperf\.spans: program\.py:4: close time\.busy=", told[1])

"""Every form of a log line says everything, whatever was logged."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

import pytest

import aperf.logging
from aperf import ConfigurationError
from aperf.otel._log_context import Origin

FORMATS: Final = ("pretty", "compact", "json")
TRACE: Final = "a1b2c3d4" + "0" * 23 + "7"
#: 2026-01-02 03:04:05.000006
CREATED: Final = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC).timestamp()


def record(message: object = "sold %d", *args: object, **others: Any) -> logging.LogRecord:
    """Return a record, made in a trace, a span and a task."""
    origin = others.pop("origin", Origin(TRACE, "checkout", "Task-7"))
    level = others.pop("level", logging.INFO)
    made = logging.LogRecord(
        "shop.cart", level, "/app/cart.py", 183, message, args, others.pop("exc_info", None)
    )
    made.created, made.thread, made.threadName = CREATED, 4, "MainThread"
    made.__dict__.update({"_aperf_origin": origin, "trace_id": "x", "task": "x"}, **others)
    return made


def formatted(format: Any, made: logging.LogRecord) -> str:
    """Return what a handler would write."""
    return aperf.logging.LineFormatter(format).format(made)


def raised(error: BaseException) -> Any:
    """Return an exception with its traceback, as records have it."""
    try:
        raise error
    except type(error):
        return sys.exc_info()


class Broken:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def test_pretty() -> None:
    """The message stands first, below it where it comes from, and what else was given."""
    assert (
        "[a1b2c3d4] 2026-01-02T03:04:05.000006Z  INFO shop.cart: sold 3\n"
        "    at /app/cart.py:183, on MainThread ThreadId(4), in task Task-7, in span checkout\n"
        "    with order=7 who=Ann"
    ) == formatted("pretty", record("sold %d", 3, order=7, who="Ann"))


def test_compact() -> None:
    """All of it stands in one line."""
    assert (
        "[a1b2c3d4] 2026-01-02T03:04:05.000006Z  INFO MainThread ThreadId(4) Task-7 checkout: "
        "shop.cart: cart.py:183: sold 3 order=7 who=Ann"
    ) == formatted("compact", record("sold %d", 3, order=7, who="Ann"))


def test_json() -> None:
    """The trace id is the first key; what was given beside the message is a field like it."""
    line = formatted("json", record("sold %d", 3, order=7, who="Ann"))
    assert "trace_id" == next(iter(json.loads(line)))
    assert {
        "trace_id": TRACE,
        "timestamp": "2026-01-02T03:04:05.000006Z",
        "level": "INFO",
        "fields": {"message": "sold 3", "order": 7, "who": "Ann"},
        "target": "shop.cart",
        "filename": "/app/cart.py",
        "line_number": 183,
        "threadName": "MainThread",
        "threadId": 4,
        "task": "Task-7",
        "span": {"name": "checkout"},
    } == json.loads(line)


def test_outside_of_everything() -> None:
    """Without a trace, a span and a task, text says so, and JSON leaves out trace and span."""
    made = record(1, origin=Origin())
    assert formatted("pretty", made).startswith("[--------] ")
    assert ", in no task" in formatted("pretty", made)
    assert "[--------] 2026-01-02T03:04:05.000006Z  INFO MainThread ThreadId(4) - shop.cart: " in (
        formatted("compact", made)
    )
    told = json.loads(formatted("json", made))
    assert not {"trace_id", "span"} & set(told)
    assert told["task"] is None


MESSAGES: Final[dict[str, tuple[object, tuple[object, ...], str]]] = {
    "plain": ("sold", (), "sold"),
    "percent without arguments": ("100 %", (), "100 %"),
    "mapping": ("%(a)s-%(b)s", ({"a": 1, "b": 2},), "1-2"),
    "an object": ({"a": 1}, (), "{'a': 1}"),
    "nothing": (None, (), "None"),
    "empty": ("", (), ""),
    "not ASCII": ("verkauft: Äpfel", (), "verkauft: Äpfel"),
    "of a wrong type": (
        "%d pieces",
        ("three",),
        "%d pieces <with ('three',): TypeError: %d format: a real number is required, not str>",
    ),
    "too few": (
        "%s %s",
        (1,),
        "%s %s <with (1,): TypeError: not enough arguments for format string>",
    ),
    "too many": (
        "sold",
        (1,),
        "sold <with (1,): TypeError: not all arguments converted during string formatting>",
    ),
    "broken argument": (
        "%s",
        (Broken(),),
        "%s <with arguments that cannot be shown: ValueError: no text>",
    ),
    "broken message": (
        Broken(),
        (),
        "<Broken: its text raised ValueError> <with (): ValueError: no text>",
    ),
}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("message", "args", "shown"), MESSAGES.values(), ids=MESSAGES)
def test_messages(format: str, message: object, args: tuple[object, ...], shown: str) -> None:
    """Every message is shown, also one that its arguments do not fit."""
    line = formatted(format, record(message, *args))
    if format == "json":
        assert shown == json.loads(line)["fields"]["message"]
    else:
        assert line.split("\n")[0].rstrip().endswith(f": {shown}".rstrip())


CONTROL: Final = {
    "\n": "\\n",
    "\r": "\\r",
    "\x1b[31m": "\\x1b[31m",
    "\x00": "\\x00",
    "\x85": "\\x85",
    "\u2028": "\\u2028",
}


@pytest.mark.parametrize("text", CONTROL)
@pytest.mark.parametrize("format", ["compact", "json"])
def test_one_line(format: str, text: str) -> None:
    """No message, name or value ends a line before its time, or speaks to the terminal."""
    made = record(f"a{text}b", key=f"c{text}d", origin=Origin(TRACE, f"s{text}", f"t{text}"))
    line = formatted(format, made)
    assert [line] == line.splitlines()
    if format == "compact":
        assert f"a{CONTROL[text]}b key=c{CONTROL[text]}d" in line
    else:
        told = json.loads(line)
        assert {"message": f"a{text}b", "key": f"c{text}d"} == told["fields"]


def test_pretty_lines() -> None:
    """In pretty a message may have several lines; no second one looks like a record's first."""
    made = record("first\n[a1b2c3d4] 2026 forged\x1b[0m", key="x\n[forged]")
    lines = formatted("pretty", made).splitlines()
    assert lines[0].endswith("shop.cart: first")
    assert "    [a1b2c3d4] 2026 forged\\x1b[0m" == lines[1]
    assert "    with key=x\\n[forged]" == lines[3]


@pytest.mark.parametrize("format", ["pretty", "compact"])
def test_traceback_below(format: str) -> None:
    """In text, the traceback stands below the record, indented."""
    made = record("failed", exc_info=raised(KeyError("pear\nplum")), stack_info="Stack:\n  here")
    below = formatted(format, made).split("Traceback")[1].splitlines()
    assert re.search(r'^      File ".*", line \d+, in raised$', "\n".join(below), re.MULTILINE)
    assert ["    KeyError: 'pear\\nplum'", "    Stack:", "      here"] == below[-3:]


def test_traceback_in_json() -> None:
    """In JSON, exceptions are fields, in OpenTelemetry's terms."""
    made = record("failed", exc_info=raised(KeyError("pear")), stack_info="Stack:\n  here")
    fields = json.loads(formatted("json", made))["fields"]
    assert "Traceback (most recent call last):\n" in fields["exception.stacktrace"]
    assert fields["exception.stacktrace"].endswith("KeyError: 'pear'\nStack:\n  here")
    assert ("KeyError", "'pear'") == (fields["exception.type"], fields["exception.message"])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("exc_info", [None, (None, None, None), True, ValueError("x"), ()])
def test_exc_info(format: str, exc_info: object) -> None:
    """Whatever stands in `exc_info`, the record is shown."""
    made = record("failed")
    made.exc_info = exc_info  # type: ignore[assignment]
    line = formatted(format, made)
    assert "failed" in line
    assert isinstance(exc_info, ValueError) == ("ValueError: x" in line)


def test_text_of_an_exception_from_elsewhere() -> None:
    """A record that was queued or sent has only the traceback's text."""
    made = record("failed", exc_text="Traceback: far away")
    assert formatted("compact", made).endswith("failed\n    Traceback: far away")
    assert "Traceback: far away" == json.loads(formatted("json", made))["fields"]["stack"]


class Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not this"


CYCLE: Final[list[object]] = []
CYCLE.append(CYCLE)
VALUES: Final[dict[str, tuple[object, object]]] = {
    "None": (None, None),
    "truth": (True, True),
    "number": (7, 7),
    "large": (1 << 70, 1 << 70),
    "float": (1.5, 1.5),
    "nan": (float("nan"), "nan"),
    "infinite": (float("-inf"), "-inf"),
    "text": ("Ä\n", "Ä\n"),
    "kind of text": (Text("this"), "this"),
    "surrogate": ("\udc80", "\udc80"),
    "bytes": (b"\xff", "b'\\xff'"),
    "list": ([1, (2, b"")], [1, [2, "b''"]]),
    "set": ({1}, [1]),
    "mapping": ({1: {"a": None}}, {"1": {"a": None}}),
    "object": (ValueError("x"), "x"),
    "broken": (Broken(), "<Broken: its text raised ValueError>"),
}


@pytest.mark.parametrize(("value", "shown"), VALUES.values(), ids=VALUES)
def test_extra_in_json(value: object, shown: object) -> None:
    """Extra values stay what they are where JSON has it; anything else becomes text."""
    line = formatted("json", record("sold", value=value))
    assert line.isascii()
    assert shown == json.loads(line, parse_constant=pytest.fail)["fields"]["value"]


@pytest.mark.parametrize("format", FORMATS)
def test_cycle(format: str) -> None:
    """A value that contains itself ends somewhere."""
    assert "[...]" in formatted(format, record("sold", value=CYCLE))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("created", [float("nan"), 1e300, -1e300, None, "now"])
def test_times(format: str, created: Any) -> None:
    """A record that somebody made up has no time, and is shown."""
    line = formatted(format, record("sold", created=created))
    assert "sold" in line


@pytest.mark.parametrize("format", FORMATS)
def test_bare_record(format: str) -> None:
    """A record with nothing in it is shown."""
    assert formatted(format, logging.makeLogRecord({}))


def test_unknown_format() -> None:
    """The error names the format, and those that there are."""
    with pytest.raises(ConfigurationError, match="format is 'xml': accepted are 'pretty', 'com"):
        aperf.logging.LineFormatter("xml")  # type: ignore[arg-type]

"""`aperf.logging.install` shows each record once, however the application logs."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import logging.config
import logging.handlers
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

import aperf
import aperf.logging
import aperf.testing
from aperf import ConfigurationError
from tests.programs import run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger("shop.cart")


@pytest.fixture(autouse=True)
def pristine() -> Iterator[None]:
    """Before and after, logging is as Python makes it, but for pytest's own handlers."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level, logging.lastResort, logging.Logger.callHandlers)
    yield
    after = (list(root.handlers), root.level, logging.lastResort, logging.Logger.callHandlers)
    assert before == after


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What aperf has to say is told in each test anew."""
    monkeypatch.setattr("aperf._stderr._told", set())


class Console:
    """What stands on stderr, line by line, without what aperf tells."""

    def __init__(self, captured: pytest.CaptureFixture[str]) -> None:
        self._captured = captured

    def lines(self) -> list[str]:
        """Take the lines."""
        everything = self._captured.readouterr().err.splitlines()
        return [line for line in everything if not line.startswith("aperf: ")]

    def messages(self) -> list[str]:
        """Take the messages of lines in JSON."""
        return [json.loads(line)["fields"]["message"] for line in self.lines()]


@pytest.fixture
def console(capsys: pytest.CaptureFixture[str]) -> Console:
    """Reads what is written."""
    return Console(capsys)


def test_the_current_stderr(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    """Lines go to whatever is stderr when they are written."""
    other = io.StringIO()
    with aperf.logging.install(format="json"):
        log.info("here")
        monkeypatch.setattr(sys, "stderr", other)
        log.info("there")
        monkeypatch.undo()
    assert ["here"] == console.messages()
    assert "there" == json.loads(other.getvalue())["fields"]["message"]


def test_everything_on_a_line(console: Console) -> None:
    """Logger, place, thread and task are those of the call."""

    async def main() -> None:
        log.info("sold")

    def threaded() -> None:
        asyncio.run(main())

    with aperf.logging.install(format="json"):
        thread = threading.Thread(target=threaded, name="worker")
        thread.start()
        thread.join()
        log.info("done")
    first, second = map(json.loads, console.lines())
    assert ("shop.cart", __file__, "worker") == (
        first["target"],
        first["filename"],
        first["threadName"],
    )
    assert main.__code__.co_firstlineno + 1 == first["line_number"]
    assert thread.ident == first["threadId"]
    assert first["task"].startswith("Task-")
    assert second["task"] is None


def test_logging_of_tasks_is_off(monkeypatch: pytest.MonkeyPatch, console: Console) -> None:
    """The task does not depend on what `logging` itself finds out (3.12+)."""
    monkeypatch.setattr(logging, "logAsyncioTasks", False, raising=False)

    async def main() -> None:
        await asyncio.create_task(child(), name="packing")

    async def child() -> None:
        log.info("sold")

    with aperf.logging.install(format="json"):
        asyncio.run(main())
    assert ["packing"] == [json.loads(line)["task"] for line in console.lines()]


FILTERS: Final[dict[str | None, list[str]]] = {
    None: ["info", "warning", "error", "noise warning"],
    "info": ["info", "warning", "error", "noise warning"],
    "error": ["error"],
    "off": [],
    "debug": ["debug", "info", "warning", "error", "noise warning"],
    "off,shop=debug": ["debug", "info", "warning", "error"],
    "warn,httpx=info": ["warning", "error", "noise info", "noise warning"],
    "trace": ["trace", "debug", "info", "warning", "error", "noise warning"],
}


@pytest.mark.parametrize("text", FILTERS)
def test_filter(text: str | None, console: Console) -> None:
    """The filter says what is shown, also below the level that Python begins with."""
    noise = logging.getLogger("httpx")
    with aperf.logging.install(format="json", filter=text):
        log.log(5, "trace")
        log.debug("debug")
        log.info("info")
        log.warning("warning")
        log.error("error")
        noise.info("noise info")
        noise.warning("noise warning")
    assert FILTERS[text] == console.messages()


def test_set_filter(console: Console) -> None:
    """A filter may be replaced while it counts, with what comes into being for it."""
    with aperf.logging.install(format="json", filter="error") as handle:
        log.debug("too early")
        handle.set_filter("debug")
        log.debug("now")
        with pytest.raises(ConfigurationError):
            handle.set_filter("==")
        log.debug("still")
        handle.set_filter(aperf.Filter.parse("off"))
        log.error("too late")
    handle.set_filter("debug")
    log.debug("gone")
    assert ["now", "still"] == console.messages()


def test_set_filter_of_one(console: Console) -> None:
    """Whoever has asked for the same keeps what it has asked for."""
    with aperf.logging.install(format="json"):
        with aperf.logging.install(format="json") as inner:
            inner.set_filter("off")
            log.info("inner")
        log.info("outer")
    assert ["outer"] == console.messages()


@pytest.mark.usefixtures("twin")
def test_filter_by_span(console: Console) -> None:
    """Directives about spans are about the records inside of them."""
    with (
        aperf.logging.install(format="json", filter=aperf.Filter.parse("warn,[packing]=debug")),
        aperf.testing.capture(),
    ):
        log.debug("outside")
        with aperf.span("packing"), aperf.span("wrapping"):
            log.debug("inside")
        log.debug("after")
    assert ["inside"] == console.messages()


@pytest.mark.parametrize("bad", [{"format": "xml"}, {"filter": "=="}, {"stream": 3}, {"logger": 3}])
def test_bad_arguments(bad: dict[str, Any]) -> None:
    """They raise, and nothing is installed."""
    with pytest.raises(ConfigurationError):
        aperf.logging.install(**bad)


def test_installed_twice(console: Console) -> None:
    """The same again changes nothing, until the last one is undone."""
    first, second = (aperf.logging.install(format="json") for _ in range(2))
    log.info("both")
    first.uninstall()
    first.uninstall()
    log.info("one")
    second.uninstall()
    log.info("none")
    assert ["both", "one"] == console.messages()


def test_the_latest_counts(console: Console) -> None:
    """Of different ones, the latest decides, until it is undone."""
    with aperf.logging.install(format="json"):
        with aperf.logging.install(format="compact", filter="debug"):
            log.debug("inner")
        log.debug("nobody's")
        log.info("outer")
    inner, outer = console.lines()
    assert inner.endswith(": inner")
    assert "outer" == json.loads(outer)["fields"]["message"]


def test_one_logger(console: Console) -> None:
    """With a logger, nothing else is shown."""
    with aperf.logging.install(format="json", logger="shop"):
        log.info("sold")
        logging.getLogger("shopping").info("bought")
    assert ["sold"] == console.messages()


def test_stream(console: Console) -> None:
    """With a stream, lines go there and not to stderr."""
    stream = io.StringIO()
    with aperf.logging.install(format="json", stream=stream):
        log.warning("sold")
    assert [] == console.lines()
    assert "sold" == json.loads(stream.getvalue())["fields"]["message"]


def test_propagation(console: Console) -> None:
    """Handlers of the application get what they would get, no more."""
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("shop").addHandler(handler)
    try:
        with aperf.logging.install(format="json", filter="debug"):
            log.info("below the application's level")
            log.warning("at it")
            log.setLevel(logging.INFO)
            log.info("below it no more")
    finally:
        log.setLevel(logging.NOTSET)
        logging.getLogger("shop").removeHandler(handler)
    assert ["at it", "below it no more"] == seen
    assert 3 == len(console.messages())


def test_no_propagation(console: Console) -> None:
    """What does not reach the root logger is not shown, unless its own logger is asked for."""
    log.propagate = False
    try:
        with aperf.logging.install(format="json"):
            log.info("kept apart")
            with aperf.logging.install(format="json", logger=log):
                log.info("asked for")
    finally:
        log.propagate = True
    assert ["asked for"] == console.messages()


def test_records_of_other_processes(console: Console) -> None:
    """A record that was sent here and given to a logger reaches the application's handlers."""
    seen: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        with aperf.logging.install(format="json"):
            log.handle(logging.makeLogRecord({"msg": "sent", "levelno": 10, "process": -1}))
    finally:
        log.removeHandler(handler)
    assert ["sent"] == seen


def test_trace_context_for_other_handlers() -> None:
    """Formats of the application may use the trace id and the task; what it gives itself stays."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(task)s|%(trace_id)s|%(message)s"))
    log.addHandler(handler)

    async def main() -> None:
        log.warning("sold")
        log.warning("again", extra={"trace_id": "own"})

    try:
        with aperf.logging.install(stream=io.StringIO()):
            asyncio.run(main())
    finally:
        log.removeHandler(handler)
    first, second = stream.getvalue().splitlines()
    assert first.startswith("Task-")
    assert first.endswith("||sold")
    assert second.endswith("|own|again")


def handlers_of(console: Any) -> dict[str, logging.Handler]:
    """Return handlers as applications have them, and some that show nothing."""
    listener_queue: queue.Queue[Any] = queue.Queue()
    rich_like = logging.Handler()
    rich_like.console = type("Console", (), {"file": console})()  # type: ignore[attr-defined]
    return {
        "stderr": logging.StreamHandler(),
        "stdout": logging.StreamHandler(sys.stdout),
        "the first stderr": logging.StreamHandler(sys.__stderr__),
        "rich": rich_like,
        "queue": logging.handlers.QueueHandler(listener_queue),
        "memory": logging.handlers.MemoryHandler(10, target=logging.StreamHandler()),
        "silent memory": logging.handlers.MemoryHandler(10),
        "null": logging.NullHandler(),
        "text": logging.StreamHandler(io.StringIO()),
        "other": logging.Handler(),
    }


@pytest.mark.parametrize("where", ["root", "own"])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", handlers_of(None))
def test_who_shows_it(kind: str, when: str, where: str, console: Console) -> None:
    """Where the application shows a record, we do not; else we do."""
    handler = handlers_of(sys.stderr)[kind]
    handler.emit = lambda record: None  # type: ignore[method-assign]
    target = log if where == "own" else logging.getLogger()
    silent = kind in ("silent memory", "null", "text", "other")
    try:
        if when == "before":
            target.addHandler(handler)
        with aperf.logging.install(format="json"):
            target.addHandler(handler)
            log.warning("sold")
            with aperf.logging.install(format="json", logger=logging.getLogger()):
                log.warning("asked for")
    finally:
        target.removeHandler(handler)
        handler.close()
    assert ["sold"] * silent + ["asked for"] == console.messages()


def test_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever installs it in vain is told why, once."""
    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        for _ in range(2):
            aperf.logging.install().uninstall()
    finally:
        logging.getLogger().removeHandler(handler)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("aperf: logging: the application shows its log itself (StreamHandler)")


class LoggingStream(io.StringIO):
    """Writes to a logger, as some programs let stderr do."""

    def write(self, text: str) -> int:
        log.warning("written: %s", text)
        return super().write(text)


class Logs:
    def __str__(self) -> str:
        log.info("while printing")
        return "printed"


def test_logging_while_logging(console: Console) -> None:
    """A stream that logs does not go round in circles; an argument that logs is shown in turn."""
    stream = LoggingStream()
    with aperf.logging.install(format="json", stream=stream):
        log.warning("sold")
    assert 1 == len(stream.getvalue().splitlines())
    with aperf.logging.install(format="json"):
        log.info("%s", Logs())
    assert ["while printing", "printed"] == console.messages()


class Failing(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("disk full")


class Ascii(io.StringIO):
    def write(self, text: str) -> int:
        text.encode("ascii")
        return super().write(text)


def test_broken_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that is full, closed or missing does not disturb; a narrow one gets what it can."""
    closed, narrow = io.StringIO(), Ascii()
    closed.close()
    for stream in (Failing(), closed):
        with aperf.logging.install(stream=stream):
            log.warning("sold")
    with aperf.logging.install(format="compact", stream=narrow):
        log.warning("Äpfel")
    assert "\\xc4pfel" in narrow.getvalue()
    with aperf.logging.install():
        monkeypatch.setattr(sys, "stderr", None)
        log.warning("sold")
        monkeypatch.undo()


def test_somebody_else_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever stands in for us after us stays, and goes on to get all records."""
    seen: list[str] = []
    handle = aperf.logging.install(stream=io.StringIO())
    ours = logging.Logger.callHandlers

    def theirs(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record.getMessage())
        ours(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(logging.Logger, "callHandlers", theirs)
        log.warning("one")
        handle.uninstall()
        log.warning("two")
    aperf.logging.install(stream=io.StringIO()).uninstall()
    assert ["one", "two"] == seen


APPLICATION: Final = """
import logging, logging.config, sys
import aperf.logging
import aperf.testing

def configure():
    {configure}

def use():
    logging.getLogger("shop").info("an info")
    logging.getLogger("shop").warning("a warning")

{program}
"""
CONFIGURATIONS: Final = {
    "nothing": "pass",
    "basicConfig": "logging.basicConfig(format='own %(message)s')",
    "basicConfig, info": "logging.basicConfig(level='INFO', format='own %(message)s')",
    "dictConfig": """logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": False,
        "formatters": {"own": {"format": "own %(message)s"}},
        "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "own"}},
        "root": {"handlers": ["h"], "level": "INFO"}})""",
    "a file": "logging.basicConfig(filename=sys.argv[1], format='own %(message)s')",
}
BEFORE: Final = "configure(); aperf.logging.install(format='compact'); use()"
AFTER: Final = "aperf.logging.install(format='compact'); configure(); use()"
FIRST_OF_ALL: Final = "with aperf.logging.install(format='compact'): pass\nconfigure(); use()"


@pytest.mark.parametrize("program", [BEFORE, AFTER, FIRST_OF_ALL], ids=["before", "after", "gone"])
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_applications(name: str, program: str, tmp_path: Any) -> None:
    """An application's configuration works as without us, in any order, each line once."""
    file = tmp_path / "log"
    source = APPLICATION.format(configure=CONFIGURATIONS[name], program=program)
    done = run_program(source, args=[str(file)])
    lines = [line for line in done.stderr.splitlines() if not line.startswith("aperf: ")]
    ours = [line.rpartition(": ")[2] for line in lines if line.startswith("[--------] ")]
    others = [line for line in lines if not line.startswith("[--------] ")]
    both = ["an info", "a warning"]
    is_info = name in ("basicConfig, info", "dictConfig")
    own = [f"own {message}" for message in (both if is_info else both[1:])]
    if name in ("nothing", "a file"):
        assert (both if program is not FIRST_OF_ALL else []) == ours
        unconfigured = name == "nothing" and program is FIRST_OF_ALL
        assert (["a warning"] if unconfigured else []) == others
    else:
        assert ([], own) == (ours, others)
    if name == "a file":
        assert own == file.read_text().splitlines()


def test_nothing_is_imported() -> None:
    """Neither OpenTelemetry nor asyncio is loaded to find out where a record was made."""
    source = """
    import sys
    import aperf.logging
    import logging
    before = set(sys.modules)
    aperf.logging.install()
    logging.warning("sold")
    assert "asyncio" not in sys.modules, "asyncio"
    assert not [name for name in sys.modules if name.startswith("opentelemetry")], "opentelemetry"
    """
    done = run_program(source)
    assert 0 == done.code, done.stderr


def test_warnings_without_handlers() -> None:
    """What nobody asks for and no handler takes is shown as Python does it, then and afterwards."""
    source = """
    import logging
    import aperf.logging
    other = logging.getLogger("other")
    with aperf.logging.install(format="compact", logger="shop"):
        logging.getLogger("shop").warning("ours")
        other.warning("plain")
        other.info("not a warning")
    other.warning("afterwards")
    """
    first, *others = run_program(source).stderr.splitlines()
    assert first.endswith(": ours")
    assert ["plain", "afterwards"] == others


def test_made_up_records() -> None:
    """A record that makes no sense to us reaches the application's handlers all the same."""
    seen: list[object] = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.msg)  # type: ignore[method-assign]
    log.addHandler(handler)
    try:
        with aperf.logging.install(stream=io.StringIO()):
            log.handle(logging.makeLogRecord({"msg": "odd", "name": None, "levelno": 30}))
    finally:
        log.removeHandler(handler)
    assert ["odd"] == seen

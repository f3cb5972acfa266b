from __future__ import annotations

import io
import logging
import logging.config
import threading
from typing import TYPE_CHECKING, Any

import pytest

from aperf import ConfigurationError
from aperf._events import deactivate
from aperf._events._logging import MessageHandler, install, uninstall
from aperf._recorder import Kind
from tests.events.taking import messages, taking
from tests.programs import run_program
from tests.records import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aperf._recorder import Recorder

log = logging.getLogger("shop")


@pytest.fixture
def listening() -> Iterator[None]:
    """Log records of all levels are shown."""
    level = log.level
    log.setLevel(1)
    install(1)
    try:
        yield
    finally:
        uninstall()
        log.setLevel(level)


class Broken:
    def __str__(self) -> str:
        raise ValueError("no text")


class Chatty:
    """Logs while it is printed."""

    times = 0

    def __str__(self) -> str:
        self.times += 1
        log.info("printing for the %d. time", self.times)
        return "chatty"


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(
    ("level", "severity", "has_color"),
    [
        (1, 0, True),
        (logging.DEBUG, 1, True),
        (15, 1, True),
        (logging.INFO, 2, False),
        (25, 2, False),
        (logging.WARNING, 3, True),
        (logging.ERROR, 4, True),
        (logging.CRITICAL, 5, True),
        (99, 5, True),
    ],
)
def test_levels(recorder: Recorder, level: int, severity: int, has_color: bool) -> None:
    """Levels become severities, with a colour for what is out of the ordinary."""
    log.log(level, "sold %d for %.2f", 3, 1.5)
    [found] = messages(recorder)
    assert ("shop: sold 3 for 1.50", severity) == (found.text, found.severity)
    assert has_color == (found.color is not None)


@pytest.mark.usefixtures("listening")
def test_root(recorder: Recorder) -> None:
    """The root logger has no name worth showing."""
    logging.getLogger().warning("hello")
    assert ["hello"] == [found.text for found in messages(recorder)]


@pytest.mark.usefixtures("listening")
def test_exceptions(recorder: Recorder) -> None:
    """Of an exception the last line is shown, what is raised by printing it included."""
    try:
        raise ValueError("sold out")
    except ValueError:
        log.exception("failed")
    log.error("failed", exc_info=ValueError(Broken()))
    log.error("failed", exc_info=True)  # there is none
    texts = [found.text for found in messages(recorder)]
    expected = ["sold out", "<str() raised ValueError>"]
    assert [f"shop: failed\nValueError: {line}" for line in expected] == texts[:2]
    assert ["shop: failed"] == texts[2:]


@pytest.mark.usefixtures("listening")
def test_records_are_left_alone(recorder: Recorder) -> None:
    """What other handlers get is what they would get without us."""
    seen: list[dict[str, Any]] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(dict(vars(record)))

    handler = Handler()
    log.addHandler(handler)
    try:
        log.error("%s", "x", exc_info=ValueError("y"))
    finally:
        log.removeHandler(handler)
    assert "message" not in seen[0]
    assert seen[0]["exc_text"] is None
    assert 1 == len(messages(recorder))


@pytest.mark.usefixtures("listening")
def test_bad_records(recorder: Recorder) -> None:
    """A record that cannot be formatted is shown as far as that goes; nothing is raised."""
    raising, logging.raiseExceptions = logging.raiseExceptions, False
    try:
        log.info("%d", "x")
        log.info("%s", Broken())
    finally:
        logging.raiseExceptions = raising
    words = "shop: <formatting the message raised"
    texts = [found.text for found in messages(recorder)]
    assert [f"{words} TypeError>", f"{words} ValueError>"] == texts


@pytest.mark.usefixtures("listening")
def test_recursion(recorder: Recorder) -> None:
    """What is logged while a record is shown is not shown, but reaches the program's handlers."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log.addHandler(handler)
    try:
        log.info("%s", Chatty())
    finally:
        log.removeHandler(handler)
    first, *later = [found.text for found in messages(recorder)]  # later ones: by the handlers
    assert "shop: chatty" == first
    assert not any("for the 1. time" in text for text in later)
    assert "for the 1. time" in stream.getvalue()


@pytest.mark.usefixtures("listening")
def test_own_records(recorder: Recorder) -> None:
    """What aperf itself logs is not shown; loggers of similar names are not ours."""
    for name in ("aperf", "aperf.exporters", "aperfection"):
        logging.getLogger(name).warning("hello")
    assert ["aperfection: hello"] == [found.text for found in messages(recorder)]


@pytest.mark.usefixtures("listening")
def test_frame_mark(recorder: Recorder) -> None:
    """A record may be a frame mark; then it is no message."""
    log.info("frame", extra={"tracy.frame_mark": True})
    log.info("frame", extra={"tracy.frame_mark": False})
    kinds = [record.kind for record in decode(recorder)]
    assert [Kind.FRAME, Kind.MESSAGE] == kinds


def test_frame_mark_of_any_level(recorder: Recorder) -> None:
    """Frame marks are shown, whatever the level of messages is."""
    install(logging.ERROR)
    try:
        log.warning("frame", extra={"tracy.frame_mark": True})
        log.warning("too low")
    finally:
        uninstall()
    assert [Kind.FRAME] == [record.kind for record in decode(recorder)]


@pytest.mark.usefixtures("listening")
def test_loggers_that_do_not_propagate(recorder: Recorder) -> None:
    """Where a record goes otherwise does not matter."""
    log.propagate = False
    try:
        log.info("hello")
    finally:
        log.propagate = True
    assert ["shop: hello"] == [found.text for found in messages(recorder)]


def test_loggers_levels_count(recorder: Recorder) -> None:
    """A logger that lets nothing through still does not."""
    log.setLevel(logging.ERROR)
    install(logging.DEBUG)
    try:
        log.warning("hello")
    finally:
        uninstall()
        log.setLevel(logging.NOTSET)
    assert [] == messages(recorder)


@pytest.mark.usefixtures("listening")
def test_nobody_takes_messages(recorder: Recorder) -> None:
    """While nobody takes messages, nothing is formatted for them."""
    deactivate()
    printed = Chatty()
    log.propagate = False
    try:
        log.debug("%s", printed)
    finally:
        log.propagate = True
    assert 0 == printed.times
    assert [] == messages(recorder)


@pytest.mark.usefixtures("listening")
def test_threads(recorder: Recorder) -> None:
    """Threads log at the same time."""

    def work(number: int) -> None:
        for turn in range(50):
            log.info("%d %d", number, turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 200 == len({found.text for found in messages(recorder)})


@pytest.mark.usefixtures("listening")
def test_fault(recorder_class: type[Recorder], monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of our own is counted, not raised."""
    monkeypatch.setattr("aperf._events._logging._severity", None)
    with taking(recorder_class, faults=1):
        log.info("hello")


# ------------------------------------------------------------------------------- install, uninstall


def test_reference_count(recorder: Recorder) -> None:
    """Logging is listened to from the first to the last; the lowest level counts until then."""
    original = logging.Logger.callHandlers
    uninstall()
    install(logging.ERROR)
    log.warning("1")
    install("WARNING")
    log.warning("2")
    uninstall()
    log.error("3")
    uninstall()
    assert original is logging.Logger.callHandlers
    log.error("4")
    uninstall()
    assert ["shop: 2", "shop: 3"] == [found.text for found in messages(recorder)]


def test_others_on_top(recorder: Recorder) -> None:
    """Whoever stands in front of us when we leave stays there, and is not shown twice after."""
    original = logging.Logger.callHandlers
    install()
    ours = logging.Logger.callHandlers

    def theirs(self: logging.Logger, record: logging.LogRecord) -> None:
        seen.append(record.getMessage())
        ours(self, record)

    seen: list[str] = []
    try:
        logging.Logger.callHandlers = theirs  # type: ignore[method-assign]
        uninstall()
        assert theirs is logging.Logger.callHandlers
        log.error("1")
        install()
        log.error("2")
    finally:
        logging.Logger.callHandlers = ours  # type: ignore[method-assign]
        uninstall()
    assert original is logging.Logger.callHandlers
    assert ["1", "2"] == seen
    assert ["shop: 2"] == [found.text for found in messages(recorder)]


@pytest.mark.parametrize("level", ["LOUD", None, 1.5])
def test_wrong_level(level: Any) -> None:
    """A level is a number, or the name of one."""
    with pytest.raises(ConfigurationError, match=f"install: level={level!r} is not accepted"):
        install(level)


def test_handler_of_the_program(recorder: Recorder) -> None:
    """The handler may be put somewhere by hand, with a level and filters."""
    handler = MessageHandler("WARNING")
    handler.addFilter(lambda record: "secret" not in record.getMessage())
    log.addHandler(handler)
    try:
        log.warning("hello")
        log.warning("secret")
    finally:
        log.removeHandler(handler)
    assert ["shop: hello"] == [found.text for found in messages(recorder)]


PRELUDE = """
    import logging, logging.config
    from aperf._events import activate
    from aperf._events._logging import install
    from aperf._recorder import Cold, Recorder
    recorder = Recorder(Cold())
    recorder.armed = True
    activate(recorder)
    install("DEBUG")
"""


def test_without_handlers() -> None:
    """A program that configures nothing still sees its warnings on stderr."""
    program = f"""{PRELUDE}
    logging.getLogger("shop").warning("hello")
    logging.getLogger("shop").info("not this")
    print(recorder.used())
    """
    assert ("2\n", "hello\n", 0) == run_program(program)


def test_basic_config_after() -> None:
    """A program that calls `logging.basicConfig` after us gets what it asked for."""
    program = f"""{PRELUDE}
    logging.basicConfig(level="INFO", format="%(levelname)s|%(message)s")
    logging.getLogger("shop").info("hello")
    print(recorder.used())
    """
    assert ("2\n", "INFO|hello\n", 0) == run_program(program)


def test_dict_config_after() -> None:
    """A program that configures logging anew does not lose us by it, nor does it get more."""
    program = f"""{PRELUDE}
    logging.config.dictConfig({{
        "version": 1,
        "formatters": {{"f": {{"format": "%(name)s %(message)s"}}}},
        "handlers": {{"h": {{"class": "logging.StreamHandler", "formatter": "f"}}}},
        "root": {{"level": "INFO", "handlers": ["h"]}},
    }})
    logging.getLogger("shop").info("hello")
    print(recorder.used(), len(logging.getLogger().handlers))
    """
    assert ("2 1\n", "shop hello\n", 0) == run_program(program)

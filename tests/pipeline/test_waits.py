from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aperf._pipeline import _waits
from aperf._pipeline._places import Place, code_attributes, module_of, place_of, stacktrace
from aperf._pipeline._waits import TABLE, Wait, classify_wait
from aperf._recorder._layout import NEAR, Hint
from aperf.model import WAIT_KINDS

Frame = tuple[CodeType, int]

STDLIB = str(Path(asyncio.__file__).parent.parent)
SITE = f"{STDLIB}/site-packages"


def code_of(function: str, file: str, line: int = 1) -> CodeType:
    """Return a code object that claims to be this function."""

    def template() -> None: ...

    return template.__code__.replace(
        co_qualname=function, co_name=function, co_filename=file, co_firstlineno=line
    )


def library(module: str, function: str) -> Frame:
    """Return a frame of a library function."""
    root = STDLIB if module.startswith("asyncio.") else SITE
    return code_of(function, f"{root}/{module.replace('.', '/')}.py"), -1


USER: Frame = (code_of("main", "/home/me/app/main.py", 12), -1)
EVENT = library("asyncio.locks", "Event.wait")


def said(*frames: Frame, awaited: type | None = asyncio.Future, hint: int = 0) -> tuple[str, str]:
    """Return kind and name of a wait."""
    wait = classify_wait((hint, awaited, frames))
    return wait.kind, wait.name


ROWS = [(module, function) for module, functions in TABLE.items() for function in functions]


@pytest.mark.parametrize(("module", "function"), ROWS)
def test_row(module: str, function: str) -> None:
    """Every row of the table decides the wait of a frame of that function."""
    row: Any = TABLE[module][function]
    kind, name = (row, function) if isinstance(row, str) else row
    assert (kind, f"await {name}") == said(library(module, function), USER)
    assert kind in WAIT_KINDS


@pytest.mark.parametrize(("module", "function"), ROWS)
def test_row_names_a_real_function(module: str, function: str) -> None:
    """Rows are spelled as the installed library spells them, or belong to another release of it."""
    elsewhere = {
        ("asyncio.taskgroups", "TaskGroup._aexit"),
        ("asyncio.tasks", "as_completed.<locals>._wait_for_one"),
        ("asyncio.tasks", "_AsCompletedIterator._wait_for_one"),
        ("aiohttp.streams", "FlowControlDataQueue.read"),
    }
    root = Path(STDLIB if module.startswith("asyncio.") else Path(pytest.__file__).parent.parent)
    tree = ast.parse((root / f"{module.replace('.', '/')}.py").read_text("utf-8"))
    assert function in qualnames(tree) or (module, function) in elsewhere


def qualnames(tree: ast.AST, prefix: str = "") -> set[str]:
    """Return the qualified names of all functions in a piece of source."""
    names = set()
    for node in ast.iter_child_nodes(tree):
        inner = prefix
        if isinstance(node, ast.ClassDef):
            inner = f"{prefix}{node.name}."
        elif isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
            names.add(f"{prefix}{node.name}")
            inner = f"{prefix}{node.name}.<locals>."
        names |= qualnames(node, inner)
    return names


class Answer(asyncio.Future[int]):
    pass


class Stranger:
    pass


GatheringFuture = type("_GatheringFuture", (asyncio.Future,), {"__module__": "asyncio.tasks"})
SocketReader = type("_SyncSocketReaderFuture", (asyncio.Future,), {"__module__": "uvloop.loop"})
SocketWriter = type("_SyncSocketWriterFuture", (asyncio.Future,), {"__module__": "uvloop.loop"})


@pytest.mark.parametrize(
    ("awaited", "kind", "name"),
    [
        (None, "yield", "await yield"),
        (asyncio.Task, "task", "await Task"),
        (asyncio.tasks._PyTask, "task", "await Task"),  # type: ignore[attr-defined]
        (asyncio.Future, "future", "await Future"),
        (asyncio.futures._PyFuture, "future", "await Future"),  # type: ignore[attr-defined]
        (Answer, "future", "await Future"),
        (GatheringFuture, "gather", "await gather"),
        (SocketReader, "socket", "await socket recv"),
        (SocketWriter, "socket", "await socket send"),
        (Stranger, "unknown", "await Stranger"),
    ],
)
def test_type(awaited: type | None, kind: str, name: str) -> None:
    """Where user code awaits a bare awaitable, its type decides."""
    assert (kind, name) == said(USER, awaited=awaited)


@pytest.mark.parametrize(
    ("hint", "kind", "name"),
    [
        (Hint.SHIELD, "shield", "await shield"),
        (Hint.EXECUTOR, "executor", "await run_in_executor"),
        (Hint.EXECUTOR | Hint.FULL, "executor", "await run_in_executor"),
        (Hint.FULL, "future", "await Future"),
    ],
)
def test_hint(hint: int, kind: str, name: str) -> None:
    """What a plain future's callbacks gave away decides before its type."""
    assert (kind, name) == said(USER, hint=hint)


def test_building_block_gives_way_to_what_is_built_from_it() -> None:
    """An event inside of a library's stream is a wait for the stream."""
    receive = library("anyio.streams.memory", "MemoryObjectReceiveStream.receive")
    assert ("event", "await Event.wait") == said(EVENT, USER)
    assert said(receive) == said(EVENT, receive, USER)


def test_only_building_blocks_give_way() -> None:
    """A condition that waits for its lock again waits for a lock."""
    lock = library("asyncio.locks", "Lock.acquire")
    assert ("lock", "await Lock.acquire") == said(
        lock, library("asyncio.locks", "Condition.wait"), USER
    )


def test_user_code_ends_the_search() -> None:
    """A library that runs user code (anyio's wrapper of a task) does not rename its waits."""
    receive = library("anyio.streams.memory", "MemoryObjectReceiveStream.receive")
    assert ("event", "await Event.wait") == said(EVENT, USER, receive)


def test_foreign_library_ends_the_search() -> None:
    """Only libraries of the table are searched."""
    receive = library("anyio.streams.memory", "MemoryObjectReceiveStream.receive")
    assert ("event", "await Event.wait") == said(EVENT, library("redis.client", "run"), receive)


def test_search_ends_where_short_records_end() -> None:
    """Long waits, of which the whole chain is known, are named as short ones are."""
    helpers = [library("asyncio.locks", f"helper_{n}") for n in range(NEAR - 1)]
    receive = library("anyio.streams.memory", "MemoryObjectReceiveStream.receive")
    assert ("event", "await Event.wait") == said(EVENT, *helpers, receive, USER)


def test_same_names_elsewhere() -> None:
    """A user's own asyncio/locks.py, and another library's, are not asyncio's."""
    own = code_of("Lock.acquire", "/home/me/app/asyncio/locks.py"), -1
    assert ("future", "await Future") == said(own)
    assert ("future", "await Future") == said(library("redis.asyncio.locks", "Lock.acquire"))


def test_place_is_the_users_own_code() -> None:
    """The innermost user frame is the place, whatever lies around it."""
    outer = code_of("caller", "/home/me/app/main.py", 3), -1
    wait = classify_wait((0, None, (EVENT, library("redis.client", "get"), USER, outer)))
    assert wait.place == Place("main", "/home/me/app/main.py", 12)


def test_place_without_user_code() -> None:
    """With libraries only, the outermost frame says most."""
    wait = classify_wait((0, None, (EVENT, library("redis.client", "get"))))
    assert wait.place == Place("get", f"{SITE}/redis/client.py", 1)


def test_nothing_known() -> None:
    """A site that is gone is unknown; one without frames (a compiled coroutine) has no place."""
    assert Wait("unknown", "await unknown") == classify_wait(None)
    assert Wait("task", "await Task") == classify_wait((0, asyncio.Task, ()))


texts = st.text(max_size=20)
frames = st.builds(
    lambda name, file, line, lasti: (code_of(name, file, line), lasti),
    texts,
    texts | st.sampled_from([f"{STDLIB}/asyncio/", f"{SITE}/anyio/x.py", "asyncio/tasks.py"]),
    st.integers(0, 1 << 20),
    st.integers(-2, 1 << 20),
)


@given(
    st.integers(0, 255),
    st.sampled_from([None, object, type, int, asyncio.Task, Stranger, ast.AST]),
    st.lists(frames, max_size=6),
)
def test_unknown_shapes(hint: int, awaited: type | None, chain: list[Frame]) -> None:
    """Whatever was recorded, there is an answer of a known kind."""
    wait = classify_wait((hint, awaited, tuple(chain)))
    assert wait.kind in WAIT_KINDS
    assert wait.name.startswith("await ")


def test_all_kinds_can_be_told() -> None:
    """Every kind is something that this module can say."""
    rows = [row for functions in TABLE.values() for row in functions.values()]
    kinds = {row if isinstance(row, str) else row[0] for row in rows}
    kinds |= {wait.kind for wait in _waits._TYPES.values()}
    assert {"shield", "executor", "unknown", *kinds} == set(WAIT_KINDS)


# ------------------------------------------------------------------------------------------- places


def lines_of_a_suspended_function() -> tuple[Frame, int]:
    """Return the frame of a suspended coroutine, and the line at which it awaits."""

    async def program() -> None:
        await asyncio.sleep(
            0,
        )
        await asyncio.sleep(0)

    coroutine: Any = program()
    coroutine.send(None)
    frame = coroutine.cr_frame
    found = (frame.f_code, frame.f_lasti), program.__code__.co_firstlineno + 1
    coroutine.close()
    return found


def test_line_of_a_suspended_frame() -> None:
    """A suspended frame stands at the line of its await, of several lines the first."""
    (code, lasti), line = lines_of_a_suspended_function()
    assert Place(code.co_qualname, __file__, line) == place_of(code, lasti)


def test_line_of_a_function() -> None:
    """Without an offset, a function stands where it begins."""
    code = place_of.__code__
    assert code.co_firstlineno == place_of(code, -1).line


@pytest.mark.parametrize("lasti", [0, 2, 1 << 20])
def test_line_of_any_offset(lasti: int) -> None:
    """An offset that the code does not have gives some line of it."""
    code = stacktrace.__code__
    lines = {line for _, _, line in code.co_lines() if line}
    assert place_of(code, lasti).line in lines


def test_stacktrace() -> None:
    """Frames are shown as Python's tracebacks show them, outermost first."""
    inner = code_of("Queue.get", "/lib/queues.py", 7), -1
    expected = (
        '  File "/home/me/app/main.py", line 12, in main\n'
        '  File "/lib/queues.py", line 7, in Queue.get'
    )
    assert expected == stacktrace((inner, USER))
    assert stacktrace(()) == ""


def test_code_attributes() -> None:
    """Places carry OpenTelemetry's names."""
    expected = (
        ("code.function.name", "main"),
        ("code.file.path", "/home/me/app/main.py"),
        ("code.line.number", 12),
    )
    assert expected == code_attributes(Place("main", "/home/me/app/main.py", 12))


@pytest.mark.parametrize(
    ("file", "module"),
    [
        ("/usr/lib/python3.13/asyncio/locks.py", "asyncio.locks"),
        ("C:\\Python313\\Lib\\asyncio\\locks.py", "asyncio.locks"),
        ("/v/lib/python3.13/site-packages/anyio/streams/memory.py", "anyio.streams.memory"),
        ("/usr/lib/python3/dist-packages/anyio/abc/_tasks.py", "anyio.abc._tasks"),
        ("C:\\v\\Lib\\site-packages\\anyio\\to_thread.py", "anyio.to_thread"),
        ("/v/site-packages/redis/asyncio/lock.py", "redis.asyncio.lock"),
        ("<string>", "<string>"),
        ("", ""),
    ],
)
def test_module_of(file: str, module: str) -> None:
    """A library's module is known by its file."""
    assert module == module_of(code_of("f", file))

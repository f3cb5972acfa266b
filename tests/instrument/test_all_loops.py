"""Every loop that the process makes is watched while a session asks for all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

import aperf
from aperf._instrument.all_loops import AllLoops, exempt
from aperf.exporters import MemoryExporter
from tests.isolated import run_isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.watched import LoopFactory


async def program() -> str:
    """Take a step."""
    await asyncio.sleep(0)
    return "done"


@pytest.fixture
def made() -> Iterator[list[Any]]:
    """The loops that were made while all are looked out for."""
    loops: list[Any] = []
    watcher = AllLoops(loops.append)
    watcher.install()
    yield loops
    watcher.uninstall()


def close(*loops: asyncio.AbstractEventLoop) -> None:
    """Close some loops."""
    for loop in loops:
        loop.close()


WAYS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio.new_event_loop": asyncio.new_event_loop,
    "uvloop.new_event_loop": uvloop.new_event_loop,
    "asyncio.SelectorEventLoop": asyncio.SelectorEventLoop,
    "uvloop.Loop": uvloop.Loop,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_new_loop_is_told_once(made: list[Any], way: str) -> None:
    """However it is made, before it runs."""
    loop = WAYS[way]()
    close(loop)
    assert [loop] == made


@pytest.mark.parametrize("base", [asyncio.SelectorEventLoop, uvloop.Loop])
def test_a_subclass_is_told_once(made: list[Any], base: type[Any]) -> None:
    """Also one whose constructor does more before and after."""

    class Own(base):  # type: ignore[misc]
        def __init__(self) -> None:
            self.before = True
            super().__init__()
            self.after = True

    loop: Any = Own()
    close(loop)
    assert [loop] == made
    assert (True, True) == (loop.before, loop.after)


def test_a_loop_that_exists_already_is_not_told(lazy_loop_factory: LoopFactory) -> None:
    """It was made before: whoever wants it watched says so."""
    loops: list[Any] = []
    loop = lazy_loop_factory()
    watcher = AllLoops(loops.append)
    watcher.install()
    watcher.uninstall()
    close(loop)
    assert [] == loops


def test_exempt_loops_are_not_told(made: list[Any]) -> None:
    """aperf's own loops are nobody's business; afterwards it counts again."""
    with exempt():
        own = asyncio.new_event_loop()
    other = asyncio.new_event_loop()
    close(own, other)
    assert [other] == made


def test_the_constructors_are_given_back() -> None:
    """What was found is back, however often one asks for it."""
    found = [vars(cls).get("__init__") for cls in (asyncio.BaseEventLoop, uvloop.Loop)]
    watcher = AllLoops(lambda loop: None)
    watcher.install()
    assert found[0] is not vars(asyncio.BaseEventLoop)["__init__"]
    watcher.uninstall()
    watcher.uninstall()
    assert found == [vars(cls).get("__init__") for cls in (asyncio.BaseEventLoop, uvloop.Loop)]


def test_a_wrapper_of_somebody_else_over_ours_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It calls ours, which says nothing any more."""
    original = asyncio.BaseEventLoop.__init__
    told: list[Any] = []
    watcher = AllLoops(told.append)
    watcher.install()
    ours, calls = asyncio.BaseEventLoop.__init__, []

    def theirs(self: Any, *args: Any) -> None:
        calls.append(self)
        ours(self, *args)

    monkeypatch.setattr(asyncio.BaseEventLoop, "__init__", theirs)
    watcher.uninstall()
    assert theirs is vars(asyncio.BaseEventLoop)["__init__"]
    close(asyncio.new_event_loop())
    assert (1, []) == (len(calls), told)
    monkeypatch.undo()
    asyncio.BaseEventLoop.__init__ = original  # type: ignore[method-assign]


# ----------------------------------------------------------------------------------------- sessions


def tasks_seen(run: Callable[[], object], **options: Any) -> list[str]:
    """Run something with a session around it; return the names of the spans of its tasks."""
    memory = MemoryExporter()
    with aperf.session(enabled=True, exporters=[memory], **options) as session:
        run()
    assert 0 == session.statistics().internal_errors
    return [span.name for span in memory.spans if span.name == "program"]


def with_runner(**options: Any) -> None:
    """Run two programs one after the other on one loop."""
    with asyncio.Runner(**options) as runner:
        assert "done" == runner.run(program())
        assert "done" == runner.run(program())


@pytest.mark.usefixtures("twin")
def test_programs_inside_a_session_are_seen() -> None:
    """With asyncio.run, uvloop.run and Runner, on both loops."""
    assert ["program"] == tasks_seen(lambda: asyncio.run(program()))
    assert ["program"] == tasks_seen(lambda: uvloop.run(program()))
    assert ["program"] * 2 == tasks_seen(with_runner)
    assert ["program"] * 2 == tasks_seen(lambda: with_runner(loop_factory=uvloop.new_event_loop))


@pytest.mark.usefixtures("twin")
def test_a_session_in_a_loop_watches_that_loop_only_unless_asked() -> None:
    """By default the loop that runs; with loops="all", others as well, and the one that runs."""

    async def main(**options: Any) -> list[str]:
        memory = MemoryExporter()
        async with aperf.session(enabled=True, exporters=[memory], **options):
            await asyncio.to_thread(asyncio.run, program())
        return sorted({span.name for span in memory.spans} & {"program", main.__qualname__})

    assert [main.__qualname__] == asyncio.run(main())
    assert sorted(["program", main.__qualname__]) == asyncio.run(main(loops="all"))


@pytest.mark.usefixtures("twin")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_i6_sessions_for_all_loops_end_in_any_order(order: tuple[int, ...]) -> None:
    """Loops are seen until the last session ends; then constructors are what they were."""
    found = [vars(cls).get("__init__") for cls in (asyncio.BaseEventLoop, uvloop.Loop)]
    exporters = [MemoryExporter() for _ in order]
    sessions = [aperf.session(enabled=True, exporters=[memory]) for memory in exporters]
    for session in sessions:
        session.__enter__()
    for number in order:
        asyncio.run(program())
        sessions[number].__exit__(None, None, None)
    assert found == [vars(cls).get("__init__") for cls in (asyncio.BaseEventLoop, uvloop.Loop)]
    seen = [sum(span.name == "program" for span in memory.spans) for memory in exporters]
    assert [order.index(number) + 1 for number in range(3)] == seen


# ------------------------------------------------------------------ uvloop, imported when one likes


IMPORTED_LATE = """
import asyncio, sys
import aperf
from aperf.exporters import MemoryExporter

async def program():
    await asyncio.sleep(0)

before = list(sys.meta_path)
memory = MemoryExporter()
with aperf.session(enabled=True, exporters=[memory]):
    assert "uvloop" not in sys.modules
    import uvloop
    assert sys.meta_path == before
    assert type(uvloop.__loader__).__module__ != "aperf._instrument.imports", uvloop.__loader__
    assert uvloop.__spec__.loader is uvloop.__loader__
    uvloop.run(program())
print([span.name for span in memory.spans].count("program"))
print("__init__" in vars(uvloop.Loop))
uvloop.run(program())
"""

NEVER_IMPORTED = """
import sys
import aperf
before = list(sys.meta_path)
with aperf.session(enabled=True, exporters=[]):
    assert len(sys.meta_path) == len(before) + 1
assert sys.meta_path == before
import uvloop
print("__init__" in vars(uvloop.Loop))
"""

NOT_INSTALLED = """
import sys
class Hidden:
    def find_spec(self, name, path, target=None):
        if name == "uvloop":
            raise ModuleNotFoundError("No module named 'uvloop'", name="uvloop")
sys.meta_path.insert(0, Hidden())
import aperf
with aperf.session(enabled=True, exporters=[]):
    for _ in range(2):
        try:
            import uvloop
        except ModuleNotFoundError as error:
            print(error.name)
"""


def test_uvloop_imported_during_a_session() -> None:
    """Its loops are seen from the first on, and the import leaves no trace of ours."""
    assert "1\nFalse\n" == run_isolated(IMPORTED_LATE)


def test_uvloop_imported_after_a_session() -> None:
    """Nobody waits for it any more."""
    assert "False\n" == run_isolated(NEVER_IMPORTED)


def test_uvloop_not_installed() -> None:
    """Whoever tries to import it is told so, as ever."""
    assert "uvloop\nuvloop\n" == run_isolated(NOT_INSTALLED)


def test_task_names_count_as_without_us() -> None:
    """I1: the program's first task is Task-1, whoever else runs tasks in the process."""
    program = """
import asyncio, sys
async def child():
    return asyncio.current_task().get_name()
async def main():
    names = [asyncio.current_task().get_name()]
    for _ in range(3):
        names.append(await asyncio.create_task(child()))
        await asyncio.sleep(0.05)
    return names
if sys.argv[1] == "watched":
    import aperf
    settings = {"enabled": True, "exporters": []}
    with aperf.session(**settings), aperf.session(**settings):
        names = asyncio.run(main())
else:
    names = asyncio.run(main())
print(names)
"""
    variables = {"APERF_EXPORT_INTERVAL_MS": "10"}
    plain, watched = (run_isolated(program, way, **variables) for way in ("plain", "watched"))
    assert plain == watched

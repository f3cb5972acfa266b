"""A program that aperf runs behaves, in everything that can be seen, as if Python ran it."""

from __future__ import annotations

import os
import py_compile
import zipfile
from typing import TYPE_CHECKING

import pytest

from tests.command_line import Outcome, run_aperf, run_python, write

if TYPE_CHECKING:
    from pathlib import Path

FACTS = """
    import sys
    from pathlib import Path
    main = sys.modules["__main__"]
    assert vars(main) is globals()
    print(sys.argv, sys.path[0], sys.stdin.read())
    names = "__name__", "__file__", "__package__", "__cached__", "__doc__", "__annotations__"
    print({name: globals()[name] for name in names})
    print(list(globals()), __builtins__, type(__loader__))
    print(__spec__ and (__spec__.name, __spec__.origin, __spec__.parent))
"""

ENDINGS = {
    "falls off": "print('end')",
    "exit": "import sys; sys.exit()",
    "exit None": "import sys; sys.exit(None)",
    "exit 3": "import sys; sys.exit(3)",
    "exit 0": "import sys; sys.exit(0)",
    "exit 256": "import sys; sys.exit(256)",
    "exit -1": "import sys; sys.exit(-1)",
    "exit True": "import sys; sys.exit(True)",
    "exit text": "import sys; sys.exit('no disk')",
    "exit tuple": "import sys; sys.exit((1, 2))",
    "exit in a task": """
        import asyncio, sys
        async def main():
            sys.exit(4)
        asyncio.run(main())
    """,
    "error": """
        def inner():
            raise ValueError("bad")
        inner()
    """,
    "error with cause": """
        try:
            {}["x"]
        except KeyError as error:
            raise RuntimeError("worse") from error
    """,
    "error in context": """
        try:
            1 / 0
        except ZeroDivisionError:
            print(undefined)
    """,
    "error in a task": """
        import asyncio
        async def child():
            await asyncio.sleep(0)
            raise LookupError("lost")
        async def main():
            await asyncio.create_task(child())
        asyncio.run(main())
    """,
    "errors in a group": """
        import asyncio
        async def child(number):
            await asyncio.sleep(0)
            raise LookupError(number)
        async def main():
            async with asyncio.TaskGroup() as group:
                group.create_task(child(1))
                group.create_task(child(2))
        asyncio.run(main())
    """,
    "error of the loudest kind": "raise BaseException('x')",
    "interrupt": """
        import atexit
        atexit.register(print, "exit handler")
        raise KeyboardInterrupt
    """,
    "interrupt in a task": """
        import asyncio
        async def child():
            await asyncio.sleep(0)
            raise KeyboardInterrupt
        async def main():
            await asyncio.create_task(child())
        asyncio.run(main())
    """,
    "hook": """
        import sys
        sys.excepthook = lambda *args: print(args[:2], args[2].tb_lineno, sys.exc_info())
        raise ValueError("bad")
    """,
    "hook that exits": """
        import sys
        sys.excepthook = lambda *args: sys.exit(7)
        raise ValueError("bad")
    """,
    "hook that fails": """
        import sys
        def hook(*args):
            raise OSError("broken")
        sys.excepthook = hook
        raise ValueError("bad")
    """,
    "last error": """
        import atexit, sys
        atexit.register(lambda: print(repr(sys.last_value), sys.last_traceback.tb_lineno))
        raise ValueError("bad")
    """,
    "threads": """
        import atexit, threading, time
        atexit.register(print, "exit handler")
        def work():
            time.sleep(0.1)
            print("thread")
        threading.Thread(target=work).start()
        print("end")
    """,
    "idle pool": """
        from concurrent.futures import ThreadPoolExecutor
        pool = ThreadPoolExecutor()
        print(pool.submit(int, "3").result())
    """,
    "child": """
        import os, sys, warnings
        warnings.simplefilter("ignore")  # 3.12 warns of a fork beside threads, and aperf has some
        if os.fork() == 0:
            sys.exit(5)
        print(os.waitstatus_to_exitcode(os.wait()[1]))
    """,
    "warning": "print('\\\\d')\nimport warnings; warnings.warn('old', DeprecationWarning)",
    "syntax error": "def f(:\n    pass",
    "syntax error within": "exec('def f(:')",
    "future annotations": "def f(x: print('evaluated')): ...",
    "unfinished": """
        import asyncio
        async def forever():
            await asyncio.Event().wait()
        async def main():
            asyncio.create_task(forever())
            await asyncio.sleep(0)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(main())
        print("end")
        import os; os._exit(0)
    """,
}


def outcomes(*words: str, cwd: Path, **more: str) -> tuple[Outcome, Outcome]:
    """Run the same program with Python and with aperf."""
    with_python = run_python(*words, cwd=cwd, **more)
    return with_python, run_aperf("run", "--summary", "none", *words, cwd=cwd, **more)


@pytest.mark.parametrize("program", ENDINGS.values(), ids=ENDINGS)
def test_ending(tmp_path: Path, program: str) -> None:
    """Output, traceback and exit status are the same, however the program ends."""
    write(tmp_path / "app.py", program)
    expected, outcome = outcomes("app.py", cwd=tmp_path)
    assert expected == outcome


@pytest.mark.parametrize(
    "ending", ["exit text", "error with cause", "error in a task", "interrupt", "syntax error"]
)
def test_ending_of_module(tmp_path: Path, ending: str) -> None:
    """The same holds for a module, in whose tracebacks Python shows more than its own frames."""
    write(tmp_path / "app.py", ENDINGS[ending])
    expected, outcome = outcomes("-m", "app", cwd=tmp_path)
    assert expected == outcome


@pytest.mark.parametrize(
    "words",
    [
        ["app.py"],
        ["app.py", "a", "--summary", "none", "-m", "x", "--", "--help"],
        ["./app.py"],
        ["a directory/../app.py"],
        ["a directory/app.py", "b c"],
        ["link.py"],
        ["-m", "app", "a", "--otlp", "b"],
        ["-mapp"],
        ["-m", "package"],
        ["-m", "package.__main__"],
        ["-m", "package.tool", "-m", "x"],
        ["package"],
        ["./package/"],
        ["archive.zip", "x"],
        ["compiled.pyc"],
    ],
    ids=" ".join,
)
def test_facts(tmp_path: Path, words: list[str]) -> None:
    """sys.argv, sys.path, stdin and the module __main__ are the same for every kind of program."""
    for name in ("app.py", "a directory/app.py", "package/__main__.py", "package/tool.py"):
        write(tmp_path / name, FACTS)
    (tmp_path / "link.py").symlink_to("a directory/app.py")
    py_compile.compile(str(tmp_path / "app.py"), str(tmp_path / "compiled.pyc"))
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(tmp_path / "app.py", "__main__.py")
    expected, outcome = outcomes(*words, cwd=tmp_path, stdin="input")
    assert expected.code == 0, expected.stderr
    assert expected == outcome


@pytest.mark.parametrize(
    "words",
    [
        ["missing.py"],
        ["no directory/app.py", "x"],
        ["empty"],
        ["secret.py"],
        ["-m", "missing"],
        ["-m", "empty"],
        ["-m", "broken"],
        ["-m", "broken.inner"],
    ],
    ids=" ".join,
)
def test_cannot_start(tmp_path: Path, words: list[str]) -> None:
    """What cannot be started fails with Python's own message and exit code."""
    (tmp_path / "empty").mkdir()
    write(tmp_path / "secret.py", "").chmod(0)
    if os.access(tmp_path / "secret.py", os.R_OK):  # as root
        (tmp_path / "secret.py").unlink()
        (tmp_path / "secret.py").symlink_to("secret.py")
    write(tmp_path / "broken" / "__init__.py", "import nothing_of_that_name")
    expected, outcome = outcomes(*words, cwd=tmp_path)
    assert expected.code != 0
    assert expected == outcome


@pytest.mark.parametrize("how", ["script", "module"])
def test_main_can_be_found_again(tmp_path: Path, how: str) -> None:
    """Pickle, dataclasses and processes that are spawned find what __main__ defines."""
    program = """
        import multiprocessing, pickle
        from dataclasses import dataclass, field

        @dataclass
        class Point:
            x: int
            y: "list[int]" = field(default_factory=list)

        def double(point):
            return Point(point.x * 2, point.y)

        if __name__ == "__main__":
            assert Point(1) == pickle.loads(pickle.dumps(Point(1)))
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.map(double, [Point(1), Point(2, [3])]))
    """
    write(tmp_path / "app.py", program)
    words = ["app.py"] if how == "script" else ["-m", "app"]
    expected, outcome = outcomes(*words, cwd=tmp_path)
    assert "[Point(x=2, y=[]), Point(x=4, y=[3])]\n" == expected.stdout
    assert expected == outcome


def test_safe_path(tmp_path: Path) -> None:
    """Where Python does not put the script's directory on sys.path, aperf does not either."""
    write(tmp_path / "app.py", "import sys; print(sys.path)")
    expected, outcome = outcomes("app.py", cwd=tmp_path, PYTHONSAFEPATH="1")
    assert expected == outcome

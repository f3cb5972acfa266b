"""The examples as tests: what the header of each says about it is what `aperf run` finds.

A header holds lines like these; `[1]` stands for the line of the program that is marked so:

    expect: wait sleep count=48
    expect: coroutine ask_server tasks=48 busy_ns>=1000
    expect: await_site ask_server kind=sleep at=[3]
    expect: longest_step draw_chart at=[1]
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import pytest

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

EXAMPLES = Path(__file__).parent.parent / "examples"
PROGRAMS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
MARKS = {"rerun_catalog": pytest.mark.rerun}  # what needs more than the extra `test`
LOOPS = ["asyncio"] if sys.platform == "win32" else ["asyncio", "uvloop"]
TIMEOUT_S = 40
VARIABLES = ("APERF_", "OTEL_", "TELEMETRY_", "TRACY_")

Entry: TypeAlias = dict[str, Any]

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------------------ what is expected


class Expectation(NamedTuple):
    """One `expect:` line of a program."""

    program: str
    text: str

    def __str__(self) -> str:
        return f"{self.program}: {self.text}"


def _source(program: str) -> str:
    return (EXAMPLES / f"{program}.py").read_text()


def _stated(program: str) -> list[Expectation]:
    docstring = ast.get_docstring(ast.parse(_source(program))) or ""
    return [Expectation(program, text) for text in re.findall(r"expect: (.+)", docstring)]


def _marked(program: str, *values: object) -> list[ParameterSet]:
    return [pytest.param(value, marks=MARKS.get(program, ())) for value in values]


each_program = pytest.mark.parametrize(
    "program", [param for program in PROGRAMS for param in _marked(program, program)]
)
each_expectation = pytest.mark.parametrize(
    "expectation",
    [param for program in PROGRAMS for param in _marked(program, *_stated(program))],
    ids=str,
)


def _marked_line(program: str, mark: str) -> int:
    lines = _source(program).splitlines()
    [number] = [n for n, line in enumerate(lines, 1) if line.endswith(f"# {mark}")]
    return number


def _entries(summary: Entry, subject: str, name: str) -> list[Entry]:
    """Return what a summary says about the coroutine, wait kind … of this name."""
    match subject:
        case "wait":
            kinds = summary["by_wait_kind"]
            return [kinds[name]] if name in kinds else []
        case "coroutine":
            return [entry for entry in summary["coroutines"] if entry["name"] == name]
        case "await_site":
            return [entry for entry in summary["await_sites"] if entry["function"] == name]
        case "longest_step":
            return [entry for entry in summary["longest_steps"][:1] if entry["function"] == name]
        case _:
            raise AssertionError(f"unknown subject {subject!r}")


def _holds(program: str, entry: Entry, condition: str) -> bool:
    match = re.fullmatch(r"(\w+)(=|>=)(\S+)", condition)
    assert match, f"{program}: cannot read {condition!r}"
    field, comparison, value = match.groups()
    if field == "at":
        path = Path(entry["file"]).resolve()
        place = (EXAMPLES / f"{program}.py", _marked_line(program, value))
        return place == (path, entry["line"])
    if comparison == ">=":
        return bool(entry[field] >= int(value))
    return value == str(entry[field])


# ------------------------------------------------------------------------------- what was found


class Run(NamedTuple):
    """What a program left behind."""

    stdout: str
    stderr: str
    summary: Entry | None


#: Runs a program by name on a loop by name.
Watched: TypeAlias = Callable[[str, str], Run]


def _run(*command: str, summary_file: Path | None = None, **variables: str) -> Run:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(VARIABLES)}
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=inherited | variables,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    written = summary_file is not None and summary_file.exists()
    summary = json.loads(summary_file.read_text()) if summary_file and written else None
    return Run(done.stdout, done.stderr, summary)


@functools.cache
def _plain(program: str) -> Run:
    """Run a program without aperf, once."""
    return _run(str(EXAMPLES / f"{program}.py"))


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Return a function that runs a program under `aperf run`, once per program and loop."""

    @functools.cache
    def run(program: str, loop: str) -> Run:
        path = tmp_path_factory.mktemp(program) / "summary.json"
        options = ["--loop", loop, "--summary", "json", "--summary-file", str(path)]
        script = str(EXAMPLES / f"{program}.py")
        return _run("-m", "aperf", "run", *options, script, summary_file=path)

    return run


# ------------------------------------------------------------------------------------- the tests


@pytest.mark.parametrize("loop", LOOPS)
@each_expectation
def test_example_shows_what_its_header_says(
    watched: Watched, expectation: Expectation, loop: str
) -> None:
    """Every `expect:` line of a program holds for the summary of its run."""
    program, text = expectation
    subject, name, *conditions = text.split()
    summary = watched(program, loop).summary
    assert summary is not None
    entries = _entries(summary, subject, name)
    assert any(all(_holds(program, e, c) for c in conditions) for e in entries), entries


@pytest.mark.parametrize("loop", LOOPS)
@each_program
def test_example_prints_the_same_with_aperf(watched: Watched, program: str, loop: str) -> None:
    """What a program prints does not depend on whether it is watched."""
    assert _plain(program).stdout == watched(program, loop).stdout
    assert "" == watched(program, loop).stderr


@each_program
def test_example_loses_nothing(watched: Watched, program: str) -> None:
    """Recording so little drops no record, and aperf's hooks meet no fault."""
    summary = watched(program, "asyncio").summary
    assert summary is not None
    assert (0, 0) == (summary["dropped_records"], summary["internal_errors"])


@each_program
def test_example_is_silent_without_aperf(program: str) -> None:
    """Run by itself a program prints nothing on stderr."""
    assert "" == _plain(program).stderr


def test_sdk_brings_telemetry_along_when_asked(tmp_path: Path) -> None:
    """With TELEMETRY_ENABLED the SDK's own line records the program that uses it."""
    path = tmp_path / "summary.json"
    run = _run(
        str(EXAMPLES / "sdk_client.py"),
        summary_file=path,
        TELEMETRY_ENABLED="true",
        APERF_SUMMARY="json",
        APERF_SUMMARY_FILE=str(path),
    )
    assert _plain("sdk_client").stdout == run.stdout
    assert run.summary is not None
    assert 3 == sum(e["tasks"] for e in run.summary["coroutines"] if e["name"] == "shopper")


def test_sdk_leaves_the_loop_alone_unless_asked(tmp_path: Path) -> None:
    """Without TELEMETRY_ENABLED no summary is written, whatever else is set."""
    path = tmp_path / "summary.json"
    run = _run(
        str(EXAMPLES / "sdk_client.py"),
        summary_file=path,
        APERF_SUMMARY="json",
        APERF_SUMMARY_FILE=str(path),
    )
    assert (_plain("sdk_client").stdout, "", None) == run


def test_examples_run_without_aperf_installed(tmp_path: Path) -> None:
    """No example needs aperf: it is a plain program that may be watched."""
    (tmp_path / "aperf.py").write_text("raise ImportError('not installed')\n")
    search_path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    run = _run(str(EXAMPLES / "sdk_client.py"), PYTHONPATH=search_path)
    assert _plain("sdk_client").stdout == run.stdout

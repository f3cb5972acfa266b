"""Help and the words of the command line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aperf._cli import main
from aperf._cli._parser import parse

if TYPE_CHECKING:
    from collections.abc import Sequence

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
OPTIONS = ("--otlp", "--summary", "--summary-file", "--loop", "--awaits")


def exit_code(words: Sequence[str]) -> object:
    """Return the code with which a command exits before it has begun."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    return caught.value.code


@pytest.mark.parametrize(
    ("words", "ours", "program"),
    [
        (["app.py"], {}, ["app.py"]),
        (["app.py", "--otlp", "x"], {}, ["app.py", "--otlp", "x"]),
        (["--otlp", "u", "app.py", "-h"], {"otlp": "u"}, ["app.py", "-h"]),
        (["--otlp=u", "app.py"], {"otlp": "u"}, ["app.py"]),
        (["--summary-file", "a.py", "b.py"], {"summary_file": "a.py"}, ["b.py"]),
        (["-m", "pkg", "-m", "x"], {}, ["-m", "pkg", "-m", "x"]),
        (["-mpkg", "x"], {}, ["-m", "pkg", "x"]),
        (["--loop", "uvloop", "-m", "pkg"], {"loop": "uvloop"}, ["-m", "pkg"]),
        (["--", "-odd.py", "--", "x"], {}, ["-odd.py", "--", "x"]),
        (["--awaits", "all", "--", "-m", "pkg"], {"awaits": "all"}, ["-m", "pkg"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_options_end_at_program(words: list[str], ours: dict[str, str], program: list[str]) -> None:
    """What follows the script or module is the program's, however it looks."""
    options = vars(parse(["run", *words]))
    nothing: dict[str, object] = {
        "otlp": None,
        "summary": None,
        "summary_file": None,
        "awaits": None,
    }
    nothing["tracy"] = False
    expected = {**nothing, "loop": "asyncio", **ours, "program": program, "command": "run"}
    assert expected == options


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["run"], "aperf run: no program given: name a script, or -m and a module"),
        (["run", "--summary", "none"], "aperf run: no program given"),
        (["run", "-m"], "aperf run: argument expected for the -m option"),
        (["run", "--nonsense", "app.py"], "aperf run: unrecognized arguments: --nonsense"),
        (["run", "--sum", "none", "app.py"], "aperf run: unrecognized arguments: --sum"),
        (["run", "--otlp"], "aperf run: argument --otlp: expected one argument"),
        (["doctor", "--nonsense"], "aperf: unrecognized arguments: --nonsense"),
        (["walk"], "aperf: argument COMMAND: invalid choice: 'walk'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_mistakes(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    """A mistake is one line on stderr that names it and the way to the help; exit code 2."""
    assert 2 == exit_code(words)
    stdout, stderr = capsys.readouterr()
    assert "" == stdout
    assert stderr.startswith(line)
    assert re.search(r" \(see aperf( run)? --help\)\n$", stderr)
    assert 1 == stderr.count("\n")


@pytest.mark.parametrize("command", [[], ["run"], ["doctor"], ["config"]], ids=" ".join)
def test_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """--help fits a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert 0 == exit_code([*command, "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: {' '.join(['aperf', *command])}")
    assert [] == [line for line in lines if len(line) > 80]


def test_help_of_run(capsys: pytest.CaptureFixture[str]) -> None:
    """The help of run names every option and shows examples; so does the reference."""
    assert 0 == exit_code(["run", "--help"])
    text = capsys.readouterr().out
    reference = REFERENCE.read_text(encoding="utf-8")
    assert "examples:\n  aperf run app.py" in text
    for option in OPTIONS:
        assert f"  {option} " in text
        assert f"| `{option} " in reference


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a command there is the help, but no success."""
    assert 2 == exit_code([])
    assert "aperf run app.py" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """--version says what is installed."""
    assert 0 == exit_code(["--version"])
    assert re.fullmatch(r"aperf (\d+\.\d+\S*|unknown \(not installed\))\n", capsys.readouterr().out)

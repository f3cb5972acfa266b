"""Which words the command line knows."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ("parse", "version")

_DESCRIPTION = """\
See what the tasks and awaits of an asyncio program do: how long they take, why
they wait, where, and who wakes them.
"""
_EXAMPLES = """\
examples:
  aperf run app.py                  watch a program, print a summary at the end
  aperf run -m package --port 80    the same for a module and its arguments
  aperf doctor                      what is installed, set and reachable
"""
_RUN_DESCRIPTION = """\
Run a Python program as python would, watch every event loop it creates, and
print a summary on stderr when it ends. Everything after the script or module
belongs to the program.
"""
_RUN_EXAMPLES = """\
examples:
  aperf run app.py --verbose
  aperf run --summary json --summary-file summary.json app.py
  aperf run --otlp http://localhost:4317 --loop uvloop -m package.server
  aperf run --tracy app.py

Options win over the environment; `aperf config` shows every variable. With
TELEMETRY_ENABLED=false in the environment the program runs unwatched.
"""
_RUN_USAGE = """\
aperf run [options] script.py [argument ...]
       aperf run [options] -m module [argument ...]"""
_OPTIONS_WITH_VALUE = ("--awaits", "--loop", "--otlp", "--summary", "--summary-file")


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong; the whole usage would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command and its options; for ``run`` also the `program` and its arguments."""
    parser, run = _build()
    if list(arguments[:1]) != ["run"]:
        options = parser.parse_args(arguments)
        if options.version:
            print(f"aperf {version()}")
            sys.exit(0)
        if options.command is None:
            parser.print_help()
            sys.exit(2)
        return options
    ours, program = _cut(arguments[1:])
    options = run.parse_args(ours)
    if not program:
        run.error("no program given: name a script, or -m and a module")
    if program == ["-m"]:
        run.error("argument expected for the -m option")
    options.command, options.program = "run", program
    return options


def _cut(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Cut where the program begins: nothing from there on is ours, whatever it looks like."""
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return list(words[:position]), list(words[position + 1 :])
        if word.startswith("-m"):
            module = [word[2:]] if word[2:] else []
            return list(words[:position]), ["-m", *module, *words[position + 1 :]]
        if not word.startswith("-"):
            return list(words[:position]), list(words[position:])
        position += 2 if word in _OPTIONS_WITH_VALUE else 1
    return list(words), []


def _build() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    plain = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="aperf", description=_DESCRIPTION, epilog=_EXAMPLES, formatter_class=plain,
        allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("--version", action="store_true", help="show aperf's version and exit")
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    run = commands.add_parser(
        "run", help="run a program and watch it", usage=_RUN_USAGE, description=_RUN_DESCRIPTION,
        epilog=_RUN_EXAMPLES, formatter_class=plain, allow_abbrev=False,
    )  # fmt: skip
    _add_run_options(run)
    for name, help in {
        "doctor": "say what is installed, set and reachable",
        "config": "show every setting, its value and where it comes from",
    }.items():
        command = commands.add_parser(
            name, help=help, description=f"{help[0].upper()}{help[1:]}.", allow_abbrev=False
        )
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser, run


def _add_run_options(run: argparse.ArgumentParser) -> None:
    # Values are checked together with the environment, so that all that is wrong is said at once.
    run.add_argument("--otlp", metavar="URL", help="send spans to this OTLP receiver")
    run.add_argument(
        "--summary", metavar="FORM", help="text (default), json, or none for no summary at all"
    )
    run.add_argument(
        "--summary-file", metavar="PATH", help="write the summary there, not to stderr"
    )
    run.add_argument(
        "--tracy", action="store_true", help="let a Tracy viewer connect (TRACY_PORT, or 8086)"
    )
    run.add_argument(
        "--loop", metavar="LOOP", default="asyncio", help="asyncio (default) or uvloop"
    )
    run.add_argument(
        "--awaits",
        metavar="WHICH",
        help="suspended (default), or all: also those that never wait (Python 3.12 and later)",
    )


def version() -> str:
    """Return aperf's version."""
    from importlib import metadata  # 20 ms that `aperf run` can do without

    try:
        return metadata.version("aperf")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"

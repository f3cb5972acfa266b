"""Entry of the command line."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from aperf._errors import AperfError

from ._parser import parse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ("main",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: the words after the command's name; those of the process by default.
    """
    options = parse(sys.argv[1:] if arguments is None else arguments)
    try:
        if options.command == "run":
            from ._run import run

            return run(options)
        return _show(options)
    except AperfError as error:
        for line in str(error).splitlines():
            print(f"aperf: {line}", file=sys.stderr)
        return 2


def _show(options: argparse.Namespace) -> int:
    """Print what is asked for, to whoever reads it for as long as they like (``| head``)."""
    try:
        if options.command == "doctor":
            from ._doctor import doctor

            code = doctor(as_json=options.json)
        else:
            from ._show import show

            code = show(as_json=options.json)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python would try again at the exit, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code

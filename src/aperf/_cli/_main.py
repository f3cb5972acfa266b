"""Entry of the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from aperf._errors import AperfError

from ._parser import parse

if TYPE_CHECKING:
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
        if options.command == "doctor":
            from ._doctor import doctor

            return doctor(as_json=options.json)
        from ._show import show

        return show(as_json=options.json)
    except AperfError as error:
        for line in str(error).splitlines():
            print(f"aperf: {line}", file=sys.stderr)
        return 2

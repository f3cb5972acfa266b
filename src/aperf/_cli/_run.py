"""``aperf run``: a program with all its loops watched."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aperf._config import complaint, read_settings_with_warnings, refusal
from aperf._errors import ConfigurationError

from ._ending import Ending, die_of_interrupt, report, run_to_its_end
from ._program import Program, load

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from aperf._config import Settings

__all__ = ("run",)

_FIELDS = {"--awaits": "awaits", "--otlp": "otlp", "--summary": "summary"}
_FIELDS["--summary-file"] = "summary_file"


def run(options: argparse.Namespace) -> int:
    """Run a program and return its exit code.

    Raises:
        AperfError: an option or a variable is bad, or watching is impossible.
        KeyboardInterrupt: the program died of it.
    """
    settings = _read(options)
    program = _load(options.program)
    if isinstance(program, Ending):
        return program.code
    with _watch(settings, program):
        ending = run_to_its_end(program.run)
    if ending.interrupted:
        die_of_interrupt()
    return ending.code


def _read(options: argparse.Namespace) -> Settings:
    """Return the settings, or complain of everything that is wrong with options and environment."""
    problems, overrides = [], dict[str, Any]()
    for option, field in _FIELDS.items():
        value = getattr(options, option.strip("-").replace("-", "_"))
        if value is not None and (accepted := refusal(field, value)):
            problems.append(complaint(option, value, accepted))
        else:
            overrides[field] = value
    if options.tracy:
        overrides["tracy_enabled"] = True
    if options.loop not in {"asyncio", "uvloop"}:
        problems.append(complaint("--loop", options.loop, "asyncio or uvloop"))
    elif options.loop == "uvloop":
        problems += _use_uvloop()
    try:
        settings, warnings = read_settings_with_warnings(**overrides)
    except ConfigurationError as error:
        raise ConfigurationError("\n".join([*problems, str(error)])) from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    for line in warnings:
        print(f"aperf: {line}", file=sys.stderr)
    return settings


def _use_uvloop() -> list[str]:
    from ._loops import use_uvloop

    try:
        use_uvloop()
    except ConfigurationError as error:
        return [str(error)]
    return []


def _load(words: Sequence[str]) -> Program | Ending:
    """Load the program; one that cannot even start ends here, in Python's words."""
    try:
        return load(words)
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        print(f"{sys.executable}: can't open file {error.filename!r}: {reason}", file=sys.stderr)
        return Ending(2)
    except SyntaxError as error:
        return report(error)


def _watch(settings: Settings, program: Program) -> AbstractContextManager[None]:
    sources, refused = dict(settings.sources), False
    if sources["enabled"] == "TELEMETRY_ENABLED":
        refused = not settings.enabled
    else:
        sources["enabled"] = "argument"
    if refused and not settings.tracy_enabled:
        print("aperf: TELEMETRY_ENABLED is false: the program runs unwatched", file=sys.stderr)
        return nullcontext()
    from ._watch import Watch

    named = sources["service_name"] != "default"
    return Watch(
        replace(
            settings,
            enabled=not refused,
            service_name=settings.service_name if named else program.name,
            sources=MappingProxyType(sources),
        )
    )

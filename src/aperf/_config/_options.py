"""Settings as options of somebody's own command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, Final

from aperf._stderr import tell

from ._kinds import BOOLEAN, OTEL_BOOLEAN, PartlyAccepted
from ._read import read_arguments
from ._switch import complaint
from ._variables import VARIABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._kinds import Kind
    from ._settings import Settings
    from ._variables import Variable

__all__ = ("add_arguments", "from_namespace")

#: Variables whose names would not say enough without the prefix.
_NAMES: Final = {
    "APERF_LOG": "log-filter",
    "APERF_TRACE": "trace-filter",
    "OTEL_SDK_ENABLED": "otlp-enabled",
}
_PREFIXES: Final = ("APERF_", "OTEL_EXPORTER_", "OTEL_")


def add_arguments(parser: argparse.ArgumentParser, prefix: str) -> None:
    """Do what `Settings.add_arguments` promises."""
    group = parser.add_argument_group("telemetry", "They win over the environment.")
    for variable in _spokesmen():
        group.add_argument(
            f"--{prefix}{_name(variable)}", dest=_dest(variable), help=_help(variable),
            **_reading(variable.kind, variable.name),
        )  # fmt: skip


def from_namespace(namespace: argparse.Namespace) -> Settings:
    """Do what `Settings.from_namespace` promises."""
    options = vars(namespace)
    given = {variable.field: options.get(_dest(variable)) for variable in _spokesmen()}
    arguments = {field: value for field, value in given.items() if value is not None}
    settings, warnings = read_arguments(arguments)
    tell(*warnings)
    return settings


def _spokesmen() -> Iterator[Variable]:
    """Return for each field the variable that its option is made from."""
    by_field: dict[str, Variable] = {}
    for variable in VARIABLES:
        is_general = variable.field.startswith("otlp.") or variable.name == "OTEL_SDK_ENABLED"
        if is_general or variable.field not in by_field:
            by_field[variable.field] = variable
    yield from by_field.values()


def _name(variable: Variable) -> str:
    known = _NAMES.get(variable.name)
    if known is not None:
        return known
    prefix = next((each for each in _PREFIXES if variable.name.startswith(each)), "")
    return variable.name.removeprefix(prefix).lower().replace("_", "-")


def _dest(variable: Variable) -> str:
    """Return the attribute of the namespace; the program has attributes of its own there."""
    return f"aperf_{variable.field.replace('.', '_')}"


def _help(variable: Variable) -> str:
    default = f"; default: {variable.default}" if variable.default else ""
    text = f"{variable.help.replace('`', '')} ({variable.name}{default})"
    return text.replace("%", "%%")


def _reading(kind: Kind, name: str) -> dict[str, Any]:
    if kind in (BOOLEAN, OTEL_BOOLEAN):
        return {"action": argparse.BooleanOptionalAction, "default": None}
    return {"type": _reader(kind), "metavar": name.rpartition("_")[2]}


def _reader(kind: Kind) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return kind.parse(text)
        except PartlyAccepted as partly:
            text = partly.refused
        except (LookupError, ValueError):
            pass
        shown = "(secret)" if kind.secret else text
        raise argparse.ArgumentTypeError(complaint("", shown, kind.accepts).removeprefix(": "))

    return read

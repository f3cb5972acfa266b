"""The program and its machine as a whole: load, power, parameters, crashes."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ._writer import Writer

__all__ = ("ParameterKind", "System")

ParameterKind: TypeAlias = Literal["int", "bool", "trigger"]

_KINDS: Final[dict[ParameterKind, int]] = {"int": 0, "bool": 1, "trigger": 2}
#: The version that brought triggers.
_TRIGGERS_SINCE: Final = 82


class System(Writer):
    """Events that belong to no thread."""

    def sys_time(self, t_ns: int, percent: float) -> None:
        """Add a point to the plot of the processors' load."""
        self._put("SysTimeReport", t_ns, percent)

    def sys_power(self, t_ns: int, energy_uj: int, name: int) -> None:
        """Add a point to a plot of power; viewers before 0.10 ignore it.

        Args:
            t_ns: when.
            energy_uj: microjoules since the last report of that name.
            name: id of the name of what uses it, from `Strings.text`.

        Raises:
            LocalProtocolError: the name is 0 (strict).
        """
        if "SysPowerReport" not in self._records:
            return
        if name:
            self._put("SysPowerReport", t_ns, energy_uj, name)
        else:
            self._misuse("power of 0", "a name from Strings.text")

    def param_setup(self, index: int, name: int, kind: ParameterKind, value: int) -> None:
        """Offer a parameter that the viewer's user can change (`Stream.parameters`).

        Args:
            index: its number.
            name: id of its name, from `Strings.text`.
            kind: "int", "bool" or "trigger"; the last is left out for viewers before 0.14.
            value: now, 32 bits.

        Raises:
            LocalProtocolError: the name is 0, or there is no such kind (strict).
        """
        number = _KINDS.get(kind)
        if not name or number is None:
            self._misuse(f"parameter {name} as {kind!r}", f"a name and one of {tuple(_KINDS)}")
        elif kind != "trigger" or self.version >= _TRIGGERS_SINCE:
            self._put("ParamSetup", index, name, number, value)

    def crash(self, t_ns: int, text: int) -> None:
        """Say that the thread crashed; the viewer waits for no open zones any more.

        Args:
            t_ns: when.
            text: id of what happened, from `Strings.text`.
        """
        if self._put("CrashReport", t_ns, text):
            self._put("Crash")

    def keep_alive(self) -> None:
        """Say nothing: a viewer goes on, and sends what it wants to ask, only after a block."""
        self._put("KeepAlive")

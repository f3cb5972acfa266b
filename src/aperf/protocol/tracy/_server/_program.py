"""What concerns the whole program: sections, parameters, load, power, its crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ._faults import Undiagnosed

if TYPE_CHECKING:
    from ._context import Context, Handlers

__all__ = ("Crash", "Parameter", "Power", "Program", "Section")


class Section(NamedTuple):
    """A stretch of the program's life; `end_ns` is None while it lasts."""

    id: int
    text: str
    category: int
    start_ns: int
    end_ns: int | None = None


class Parameter(NamedTuple):
    """A value that can be changed in the viewer; `kind` is 0 integer, 1 boolean, 2 trigger."""

    name: str
    kind: int
    value: int


class Power(NamedTuple):
    """Energy spent since the report before, in microjoules."""

    t_ns: int
    name: str
    energy: int


class Crash(NamedTuple):
    """How the program crashed."""

    t_ns: int
    text: str


class Program:
    """The events that concern the whole program."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sections: dict[int, Section] = {}
        self._ended: list[Section] = []
        self._parameters: dict[int, tuple[int, int, int]] = {}
        self._power: list[tuple[int, int, int]] = []
        self._crash: tuple[int, int] | None = None
        self.categories: dict[int, str] = {}
        self.load: list[tuple[int, float]] = []
        self.vsyncs: list[tuple[int, int]] = []
        self.crashed = False
        self.terminates = False
        self.handlers: Handlers = {
            "KeepAlive": lambda: None,
            "Terminate": self._terminate,
            "Crash": self._end,
            "CrashReport": self._report,
            "SectionSetup": self._category,
            "SectionEnter": self._enter,
            "SectionLeave": self._leave,
            "ParamSetup": self._parameter,
            "SysTimeReport": lambda t, percent: self.load.append((t, percent)),
            "SysPowerReport": self._spend,
            "FrameVsync": lambda t, id: self.vsyncs.append((t, id)),
        }

    @property
    def sections(self) -> tuple[Section, ...]:
        """The sections, by their begins."""
        return tuple(sorted([*self._ended, *self._sections.values()], key=lambda one: one.start_ns))

    @property
    def parameters(self) -> dict[int, Parameter]:
        """The parameters, by number."""
        return {
            index: Parameter(self._context.texts.string(name), kind, value)
            for index, (name, kind, value) in self._parameters.items()
        }

    @property
    def power(self) -> tuple[Power, ...]:
        """The reports of energy spent."""
        return tuple(
            Power(t_ns, self._context.texts.string(name), energy)
            for t_ns, name, energy in self._power
        )

    @property
    def crash(self) -> Crash | None:
        """How the program crashed, if it said so."""
        if self._crash is None:
            return None
        t_ns, text = self._crash
        return Crash(t_ns, self._context.texts.string(text))

    def _terminate(self) -> None:
        self.terminates = True

    def _end(self) -> None:
        self.crashed = True

    def _report(self, *, t: int, text: int) -> None:
        self._context.texts.ask_string(text)
        self._crash = (t, text)

    def _category(self, *, category: int) -> None:
        self.categories[category] = self._context.text.take()

    def _enter(self, *, dt: int, section: int, category: int = 0) -> None:
        t_ns = self._context.thread_clock.advance(dt)
        text = self._context.text.take()
        if section in self._sections:
            raise Undiagnosed(f"section {section} entered twice")
        self._sections[section] = Section(section, text, category, t_ns)

    def _leave(self, *, dt: int, section: int) -> None:
        t_ns = self._context.thread_clock.advance(dt)
        entered = self._sections.pop(section, None)
        if entered is None:
            raise Undiagnosed(f"section {section} left, and it was not entered")
        self._ended.append(entered._replace(end_ns=t_ns))

    def _parameter(self, *, index: int, name: int, kind: int, value: int) -> None:
        self._context.texts.ask_string(name)
        self._parameters[index] = (name, kind, value)

    def _spend(self, *, t: int, energy: int, name: int) -> None:
        self._context.texts.ask_string(name)
        self._power.append((t, name, energy))

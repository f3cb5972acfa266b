"""Plots: values over time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from aperf.protocol.tracy._versions import QueryKind

from ._faults import Undiagnosed

if TYPE_CHECKING:
    from ._context import Context, Handlers

__all__ = ("Plot", "PlotConfig", "Plots", "Point")

PlotFormat: TypeAlias = Literal["number", "memory", "percentage"]

_FORMATS: Final[tuple[PlotFormat, ...]] = ("number", "memory", "percentage")


class Point(NamedTuple):
    """A value at a time."""

    t_ns: int
    value: int | float


class PlotConfig(NamedTuple):
    """How a plot is to look."""

    format: PlotFormat
    step: bool
    fill: bool
    color: int  #: 0xRRGGBB, 0 for the viewer's choice


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A plot.

    Attributes:
        name: what it is called.
        config: how it is to look; None if the client did not say.
        points: its values, in the order in which they were sent.
    """

    name: str
    config: PlotConfig | None = None
    points: tuple[Point, ...] = ()


@dataclass(slots=True)
class _Growing:
    config: PlotConfig | None = None
    points: list[Point] = field(default_factory=list)


class Plots:
    """The events of plots."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._plots: dict[int, _Growing] = {}
        self.handlers: Handlers = {
            "PlotDataInt": self._point,
            "PlotDataFloat": self._point,
            "PlotDataDouble": self._point,
            "PlotConfig": self._configure,
        }

    def picture(self) -> tuple[Plot, ...]:
        """Return the plots in the order in which they appeared."""
        names = self._context.texts
        return tuple(
            Plot(
                name=names.get(QueryKind.PLOT_NAME, name),
                config=plot.config,
                points=tuple(plot.points),
            )
            for name, plot in self._plots.items()
        )

    def _reach(self, name: int) -> _Growing:
        self._context.texts.ask(QueryKind.PLOT_NAME, name)
        return self._plots.setdefault(name, _Growing())

    def _point(self, *, name: int, dt: int, value: float) -> None:
        point = Point(self._context.thread_clock.advance(dt), value)
        plot = self._reach(name)
        if math.isfinite(value):  # a server drops what it cannot draw
            plot.points.append(point)

    def _configure(self, *, name: int, format: int, step: int, fill: int, color: int) -> None:
        if format >= len(_FORMATS):
            raise Undiagnosed(f"format {format} of a plot, of 0 … {len(_FORMATS) - 1}")
        swapped = int.from_bytes((color & 0xFFFFFF).to_bytes(3, "little"), "big")
        config = PlotConfig(_FORMATS[format], bool(step), bool(fill), swapped)
        self._reach(name).config = config

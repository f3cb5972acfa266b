"""Messages, plots and frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aperf.protocol.tracy._server import (
    AppInfo,
    FrameImage,
    FrameSet,
    Message,
    Plot,
    PlotConfig,
    Point,
    Region,
    Row,
    RowKey,
    StackFrame,
    SubFrame,
)
from tests.tracy_cases.basics import MAIN, STACK, stack, symbols, thread

if TYPE_CHECKING:
    from aperf.protocol.tracy import Stream, Strings
    from tests.tracy_cases.basics import Case

__all__ = ("CASES",)


def messages(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Messages of all kinds, in a thread and in a fiber."""
    literal = strings.text("a literal")
    stream.thread(MAIN)
    stream.message(1, "plain")
    stream.message(3, "colour", 4, 0x123456)
    stream.message_literal(2, literal, 0)
    stream.message_literal(4, literal, 5, 0)
    stream.fiber_enter(5, 1)
    stream.message(6, "", stack=stack(strings))
    stream.message(7, "x" * 65_534, 1, 0xFFFFFF, stack(strings))
    stream.message_literal(8, literal, 3, None, stack(strings))
    stream.message_literal(9, literal, 3, 1, stack(strings))
    stream.fiber_leave(10)
    rows = [RowKey("thread", MAIN)] * 4 + [RowKey("fiber", 1)] * 4
    texts = ["plain", "colour", "a literal", "a literal", "", "x" * 65_534] + ["a literal"] * 2
    colors = [None, 0x123456, None, 0, None, 0xFFFFFF, None, 1]
    severities = [2, 4, 0, 5, 2, 1, 3, 3] if stream.version >= 77 else [None] * 8
    stacks: list[tuple[StackFrame, ...]] = [()] * 4 + [STACK] * 4
    parts = zip([1, 3, 2, 4, 6, 7, 8, 9], rows, texts, severities, colors, stacks, strict=True)
    return {
        "messages": tuple(
            Message(t_ns=t, row=row, text=text, severity=severity, color=color, stack=frames)
            for t, row, text, severity, color, frames in parts
        ),
        "threads": {MAIN: thread()},
        "fibers": {1: Row(name="fiber 1", regions=(Region(5, 10, MAIN),))},
        "symbols": symbols(strings),
    }


def app_info(stream: Stream, strings: Strings) -> dict[str, Any]:
    """What a program says of itself."""
    stream.app_info(3, "version 1\nof it")
    return {"app_info": (AppInfo(3, "version 1\nof it"),)}


def plots(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Plots of integers and of other numbers, also of those that cannot be drawn."""
    queue, load = strings.text("queue"), strings.text("load")
    stream.thread(MAIN)
    stream.plot(queue, 10, 3)
    stream.plot_config(load, "percentage", step=True, fill=False, color=0x112233)
    stream.plot(load, 5, 0.1)
    stream.plot(load, 6, float("nan"))
    stream.plot(load, 7, float("-inf"))
    stream.plot(queue, 20, -(1 << 63))
    stream.plot(queue, 15, 1 << 63)
    stream.plot_config(queue, "number")
    stream.plot_config(strings.text("heap"), "memory")
    points = (Point(10, 3), Point(20, -(1 << 63)), Point(15, float(1 << 63)))
    return {
        "plots": (
            Plot(name="queue", config=PlotConfig("number", False, True, 0), points=points),
            Plot(
                name="load",
                config=PlotConfig("percentage", True, False, 0x112233),
                points=(Point(5, 0.1),),
            ),
            Plot(name="heap", config=PlotConfig("memory", False, True, 0)),
        )
    }


def frames(stream: Stream, strings: Strings) -> dict[str, Any]:
    """Marks of the default set and of another one, frames with gaps, pictures, refreshes."""
    network, tick = strings.text("network"), strings.text("tick")
    picture = bytes(range(16))
    for t_ns in (10, 20, 30):
        stream.frame_mark(t_ns)
    stream.frame_mark(5, tick)
    for t_ns in (1, 3):
        stream.frame_begin(t_ns, network)
        stream.frame_end(t_ns + 1, network)
    stream.frame_begin(9, network)
    stream.frame_image(2, 8, 4, picture, flip=True)
    stream.frame_image(1, 4, 4, picture[:8])
    stream.frame_vsync(11, 2)
    gaps = (SubFrame(1, 2), SubFrame(3, 4), SubFrame(9, None))
    return {
        "frame_sets": (
            FrameSet(name="", marks=(10, 20, 30)),
            FrameSet(name="tick", marks=(5,)),
            FrameSet(name="network", sub_frames=gaps),
        ),
        "frame_images": (
            FrameImage(1, 8, 4, True, picture),
            FrameImage(0, 4, 4, False, picture[:8]),
        ),
        "vsyncs": ((11, 2),),
    }


CASES: Final[tuple[Case, ...]] = (
    messages,
    app_info,
    plots,
    frames,
)

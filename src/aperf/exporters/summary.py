"""Show what a session found out: to people as a table, to programs as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Final, Literal, TextIO

from aperf._errors import ConfigurationError
from aperf.model import ExporterStatistics, ExportResult

from ._summary_format import escape_for, is_drawable, to_ascii
from ._summary_layout import layout
from ._summary_lines import Line, Piece

if TYPE_CHECKING:
    from aperf.model import SessionInfo, SpanBatch, Summary

__all__ = ("SummaryExporter", "render_text")

#: Narrower, the columns would not fit; wider, the eye would lose the line.
_MIN_WIDTH: Final = 72
_MAX_WIDTH: Final = 100


def render_text(summary: Summary, *, width: int = 80, unicode: bool = True) -> str:
    """Return a summary as plain text.

    Args:
        summary: what to show.
        width: characters per line; at least 72 and at most 100 are used.
        unicode: whether bars are drawn with block characters. Otherwise only the program's own
            names may be more than ASCII.
    """
    return _plain(_lines(summary, width, unicode=unicode))


def _lines(summary: Summary, width: int, *, unicode: bool) -> list[Line]:
    width = max(_MIN_WIDTH, min(width, _MAX_WIDTH))
    lines = layout(summary, width=width, directory=_working_directory())
    if unicode:
        return lines
    return [tuple(Piece(to_ascii(text), style) for text, style in line) for line in lines]


def _working_directory() -> str:
    try:
        return os.path.join(os.getcwd(), "")
    except OSError:  # it was deleted
        return ""


def _plain(lines: list[Line]) -> str:
    return "".join("".join(piece.text for piece in line).rstrip() + "\n" for line in lines)


def _for_terminal(summary: Summary, *, unicode: bool) -> str | None:
    """Return the summary in colour, or None without rich."""
    try:
        from ._summary_rich import colored, terminal_width
    except ImportError:
        return None
    return colored(_lines(summary, terminal_width(), unicode=unicode))


class SummaryExporter:
    """Writes the summary once, when the session ends. A failure to do so never reaches the program.

    Args:
        format: "text" for people; "json" for one line as docs/reference/summary.md describes it.
        file: a path, or an open text stream, which stays open. None: `sys.stderr` as it is when
            the session ends.
        color: whether to use colours where rich is installed. None: if the stream is a terminal.

    Attributes:
        needs_rows: a hint to the pipeline. An exporter that says False is content with the
            summary: when no other one asks for spans, none need to be made.
    """

    consumes: Final = "spans"
    needs_rows: Final = False

    def __init__(
        self,
        format: Literal["text", "json"] = "text",
        file: str | os.PathLike[str] | TextIO | None = None,
        *,
        color: bool | None = None,
    ) -> None:
        if format not in ("text", "json"):
            raise ConfigurationError(f"format is {format!r}; 'text' or 'json' is accepted")
        self._format = format
        # Absolute, since the program may go to another directory meanwhile.
        self._file = os.path.abspath(file) if isinstance(file, (str, os.PathLike)) else file
        self._color = color
        self._failures = 0

    def start(self, session: SessionInfo) -> None:
        """Do nothing: the summary names its session itself."""

    def export(self, batch: SpanBatch, deadline_ns: int) -> ExportResult:
        """Ignore spans; the summary counts them as delivered nowhere."""
        return ExportResult()

    def flush(self, deadline_ns: int) -> bool:
        """Return True: nothing is ever under way."""
        return True

    def finish(self, summary: Summary) -> None:
        """Write the summary. Where that fails, say so in one line on stderr."""
        try:
            self._write(summary)
        except Exception as error:  # whatever the stream is: a summary must not end a program
            self._failures += 1
            self._complain(error)

    def shutdown(self, deadline_ns: int) -> bool:
        """Say whether the summary was written."""
        return not self._failures

    def statistics(self) -> ExporterStatistics:
        """Return whether writing failed, as a count of failures."""
        return ExporterStatistics(export_failures=self._failures)

    def _write(self, summary: Summary) -> None:
        if isinstance(self._file, str):
            with open(self._file, "w", encoding="utf-8") as stream:
                stream.write(self._render(summary, stream))
            return
        # pythonw and some daemons have no stderr at all.
        maybe_stream = sys.stderr if self._file is None else self._file
        if maybe_stream is not None:
            maybe_stream.write(self._render(summary, maybe_stream))
            maybe_stream.flush()

    def _render(self, summary: Summary, stream: TextIO) -> str:
        if self._format == "json":
            return json.dumps(summary.to_dict()) + "\n"
        encoding = getattr(stream, "encoding", None) or "utf-8"
        unicode = is_drawable(encoding)
        color = stream.isatty() if self._color is None else self._color
        text = _for_terminal(summary, unicode=unicode) if color else None
        return escape_for(encoding, text or render_text(summary, unicode=unicode))

    def _complain(self, error: Exception) -> None:
        target = self._file if isinstance(self._file, str) else "its stream"
        reason = (isinstance(error, OSError) and error.strerror) or repr(error)
        try:
            sys.stderr.write(f"aperf: cannot write the summary to {target}: {reason}\n")
        except Exception:
            pass  # stderr is closed, broken or replaced: there is nobody left to tell

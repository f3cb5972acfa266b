from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aperf._errors import ConfigurationError
from aperf.exporters import Exporter, SummaryExporter
from aperf.exporters.summary import render_text
from aperf.model import ExporterStatistics, ExportResult, SessionInfo, SpanBatch, Summary
from tests.summaries import crawler_summary

FAR = 10**18
ESCAPE = "\x1b["


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Broken(io.StringIO):
    """A stream whose reader is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep rich from following what the developer's terminal wants."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def written(exporter: SummaryExporter, stream: io.StringIO) -> str:
    """Return what an exporter writes to its stream when the session ends."""
    exporter.finish(crawler_summary())
    return stream.getvalue()


# ----------------------------------------------------------------------------------------- protocol


def test_is_an_exporter_that_needs_no_spans() -> None:
    """It fulfils the protocol, takes spans without a word, and hints that it needs none."""
    exporter: Exporter = SummaryExporter(file=io.StringIO())
    assert isinstance(exporter, Exporter)
    assert "spans" == exporter.consumes
    assert not SummaryExporter.needs_rows
    exporter.start(SessionInfo(service_name="shop"))
    assert ExportResult() == exporter.export(SpanBatch(templates=[], threads=[]), FAR)
    assert exporter.flush(FAR)
    assert exporter.shutdown(FAR)
    assert ExporterStatistics() == exporter.statistics()


def test_unknown_format() -> None:
    """A format that does not exist is refused by name and value."""
    with pytest.raises(ConfigurationError, match="format is 'xml'; 'text' or 'json' is accepted"):
        SummaryExporter("xml")  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------ streams


def test_stderr_is_looked_up_when_it_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a file the summary goes to what sys.stderr is when the session ends."""
    exporter = SummaryExporter()
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    assert render_text(crawler_summary()) == written(exporter, stderr)


def test_without_any_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs without stderr have no summary, and that is no failure."""
    exporter = SummaryExporter()
    monkeypatch.setattr(sys, "stderr", None)
    exporter.finish(crawler_summary())
    assert exporter.shutdown(FAR)


def test_closed_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stderr is tolerated, and the exporter admits that nothing was written."""
    exporter = SummaryExporter()
    stderr = io.StringIO()
    stderr.close()
    monkeypatch.setattr(sys, "stderr", stderr)
    exporter.finish(crawler_summary())
    assert not exporter.shutdown(FAR)
    assert ExporterStatistics(export_failures=1) == exporter.statistics()


def test_broken_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stderr that nobody reads any more is tolerated."""
    exporter = SummaryExporter()
    monkeypatch.setattr(sys, "stderr", Broken())
    exporter.finish(crawler_summary())
    assert not exporter.shutdown(FAR)


def test_broken_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal that went away does not end the program either, though rich would have it so."""

    class GoneTerminal(Terminal, Broken):
        pass

    exporter = SummaryExporter(file=GoneTerminal())
    exporter.finish(crawler_summary())
    assert "aperf: cannot write the summary to its stream: Broken pipe\n" == capsys.readouterr().err


@pytest.mark.parametrize("close", ["closed by the shell", "closed by its reader"])
def test_program_is_not_disturbed(close: str) -> None:
    """A process whose stderr is closed, or a pipe without reader, ends with its own code."""
    program = (
        "from aperf.exporters import SummaryExporter; from aperf.model import Summary;"
        "SummaryExporter().finish(Summary()); raise SystemExit(7)"
    )
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", program]
    if close == "closed by the shell":
        command = ["sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    with open(write, "wb") as stderr:
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr)
    assert (7, b"") == (found.returncode, found.stdout)


# -------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", [str, Path])
def test_file(tmp_path: Path, kind: type[Any]) -> None:
    """A path may be a string or a Path; the file is overwritten with plain text in UTF-8."""
    path = tmp_path / "summary.txt"
    path.write_text("old " * 10_000)
    SummaryExporter(file=kind(path)).finish(crawler_summary())
    assert render_text(crawler_summary()) == path.read_text(encoding="utf-8")


def test_relative_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path means the directory in which the exporter was made."""
    monkeypatch.chdir(tmp_path)
    exporter = SummaryExporter("json", "summary.json")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    exporter.finish(crawler_summary())
    assert (tmp_path / "summary.json").exists()


def test_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A path that cannot be written is one line on stderr with path and reason."""
    path = tmp_path / "missing" / "summary.txt"
    exporter = SummaryExporter(file=path)
    exporter.finish(crawler_summary())
    expected = f"aperf: cannot write the summary to {path}: No such file or directory\n"
    assert ("", expected) == capsys.readouterr()
    assert not exporter.shutdown(FAR)


def test_stream_stays_open() -> None:
    """A stream that was handed in is written to, and its owner may go on to use it."""
    stream = io.StringIO()
    SummaryExporter(file=stream).finish(crawler_summary())
    assert not stream.closed


# ------------------------------------------------------------------------------- colours, encodings


def test_no_terminal_no_color() -> None:
    """A stream that is no terminal gets plain text."""
    stream = io.StringIO()
    assert render_text(crawler_summary()) == written(SummaryExporter(file=stream), stream)


def test_terminal_gets_color() -> None:
    """A terminal gets colours, and apart from them the same text."""
    pytest.importorskip("rich.console")
    from rich.text import Text

    stream = Terminal()
    text = written(SummaryExporter(file=stream), stream)
    assert ESCAPE in text
    lines = [line.rstrip() for line in Text.from_ansi(text).plain.splitlines()]
    assert render_text(crawler_summary()).splitlines() == lines


def test_color_can_be_forced_and_forbidden() -> None:
    """`color` beats what the stream is."""
    pytest.importorskip("rich.console")
    stream, terminal = io.StringIO(), Terminal()
    assert ESCAPE in written(SummaryExporter(file=stream, color=True), stream)
    assert ESCAPE not in written(SummaryExporter(file=terminal, color=False), terminal)


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NO_COLOR a terminal gets no colours (bold is none)."""
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    text = written(SummaryExporter(file=terminal), terminal)
    assert not [code for code in ("31m", "32m", "33m", "34m", "36m") if code in text]


def test_terminal_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rich a terminal gets plain text."""
    monkeypatch.delitem(sys.modules, "aperf.exporters._summary_rich", raising=False)
    monkeypatch.setitem(sys.modules, "rich.console", None)
    terminal = Terminal()
    assert render_text(crawler_summary()) == written(SummaryExporter(file=terminal), terminal)


def test_plain_text_does_not_import_rich() -> None:
    """rich is not imported where there is no terminal."""
    program = (
        "import sys; from aperf.exporters import SummaryExporter; from aperf.model import Summary;"
        "SummaryExporter().finish(Summary()); print('rich' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "False\n" == found.stdout


def test_encoding_without_block_characters() -> None:
    """Bars become ASCII where the encoding has none, and foreign names are escaped."""
    binary = io.BytesIO()
    stream = io.TextIOWrapper(binary, encoding="latin-1")
    summary = Summary(service_name="böse Ω", duration_ns=1)
    SummaryExporter(file=stream).finish(summary)
    assert binary.getvalue().decode("latin-1").startswith("-- aperf - böse \\u03a9 ---")


# --------------------------------------------------------------------------------------------- JSON


def test_json_is_one_line() -> None:
    """The JSON is one document on one line, and it is what `to_dict` returns."""
    stream = io.StringIO()
    text = written(SummaryExporter("json", stream), stream)
    assert text.endswith("}\n")
    assert 1 == text.count("\n")
    assert json.loads(text) == json.loads(json.dumps(crawler_summary().to_dict()))


def test_json_has_no_color() -> None:
    """A terminal gets the same JSON as a file."""
    stream, terminal = io.StringIO(), Terminal()
    expected = written(SummaryExporter("json", stream), stream)
    assert expected == written(SummaryExporter("json", terminal), terminal)

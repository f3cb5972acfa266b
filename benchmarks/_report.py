"""What all benchmarks have in common: figures, the table they are printed as, the command line."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value.

    Attributes:
        what: the row of the table.
        value: what was measured.
        unit: "ns", "instructions", "×", …
        budget: what it may be at most (with `at_least`: must be at least), None for information.
        at_least: whether more is better.
        note: what helps to read it.
    """

    what: str
    value: float
    unit: str
    budget: float | None = None
    at_least: bool = False
    note: str = ""

    def measured(self) -> str:
        """Return the value with its unit."""
        return _quantity(self.value, self.unit)

    def limit(self) -> str:
        """Return the budget with its unit."""
        if self.budget is None:
            return ""
        return f"{'≥' if self.at_least else '≤'} {_quantity(self.budget, self.unit)}"

    def verdict(self) -> str:
        """Say whether the budget is met, or by how much it is missed."""
        if self.budget is None:
            return ""
        if self.value >= self.budget if self.at_least else self.value <= self.budget:
            return "met"
        if self.budget == 0:
            return "missed"
        if self.unit == "×" and not self.at_least:  # what counts is the part above 1
            return f"missed, {(self.value - 1) / (self.budget - 1):.1f}× the allowed overhead"
        factor = self.budget / self.value if self.at_least else self.value / self.budget
        return f"missed, {factor:.1f}× the budget" if factor >= 2 else f"missed by {factor - 1:.0%}"


def _quantity(value: float, unit: str) -> str:
    if unit == "×":
        return f"{value:.2f}×"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def print_table(title: str, figures: Iterable[Figure]) -> None:
    """Print figures in columns."""
    rows = [("what", "budget", "measured", "", "")]
    rows += [(f.what, f.limit(), f.measured(), f.verdict(), f.note) for f in figures]
    width = [max(len(row[column]) for row in rows) for column in range(4)]
    print(f"\n{title}")
    for what, limit, measured, verdict, note in rows:
        numbers = f"{limit:>{width[1]}}  {measured:>{width[2]}}"
        print(f"  {what:{width[0]}}  {numbers}  {verdict:{width[3]}}  {note}".rstrip(), flush=True)


def print_markdown(figures: Iterable[Figure]) -> None:
    """Print figures as docs/what-it-costs.md shows them."""
    print("\n| | budget | measured | | |\n|---|---:|---:|---|---|")
    for f in figures:
        print(f"| {f.what} | {f.limit()} | {f.measured()} | {f.verdict()} | {f.note} |")


def machine() -> dict[str, Any]:
    """Return what a reader of the results has to know."""
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
    }


def write_json(path: Path, figures: Iterable[Figure]) -> None:
    """Write figures and the machine's description."""
    content = {**machine(), "figures": [asdict(figure) for figure in figures]}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> list[Figure]:
    """Read figures that `write_json` wrote."""
    return [Figure(**figure) for figure in json.loads(path.read_text())["figures"]]


def run(description: str | None, measure: Callable[[], list[Figure]]) -> None:
    """Be the main program of a benchmark: measure, print, write JSON if asked."""
    title = (description or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument(
        "--implementation", choices=("c", "python"), help="of aperf's recorder; default: the best"
    )
    options = parser.parse_args()
    for name in [n for n in os.environ if n.startswith(("APERF_", "OTEL_", "TELEMETRY_"))]:
        del os.environ[name]
    if options.implementation == "python":
        os.environ["APERF_PURE_PYTHON"] = "1"
    if options.implementation == "c":
        import aperf

        if aperf.IMPLEMENTATION != "c":
            parser.error("the native core is not installed")
    figures = measure()
    print_table(title, figures)
    if options.json:
        write_json(options.json, figures)

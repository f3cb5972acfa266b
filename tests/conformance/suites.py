"""The test-suites that must not notice aperf, and how one of their modules is run in a process."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol
from xml.etree import ElementTree as ET

HERE = Path(__file__).parent


class Unavailable(Exception):
    """A suite cannot be run here."""


class Outcome(NamedTuple):
    """What a module's run came to."""

    run: int
    failed: frozenset[str]


class Suite(Protocol):
    """A collection of test modules."""

    modules: ClassVar[tuple[str, ...]]
    home: Path  #: where its processes run

    def prepare(self) -> None:
        """Fetch what is needed. Raise `Unavailable` when that is impossible."""

    def search_path(self) -> list[Path]:
        """Return what its processes need in front of sys.path."""

    def command(self, module: str, report: Path, *, preload: bool) -> list[str]:
        """Return the arguments for Python that run a module and write a report."""

    def read(self, report: Path) -> Outcome:
        """Read a report."""


def _unittest_command(module: str, report: Path, *, preload: bool) -> list[str]:
    options = ["--preload"] if preload else []
    return [str(HERE / "unittest_child.py"), *options, module, str(report)]


def _read_json(report: Path) -> Outcome:
    content = json.loads(report.read_text())
    return Outcome(content["run"], frozenset(content["failed"]))


def _fetch_tests(distribution: str, home: Path) -> None:
    """Unpack the tests from the sdist of the installed version of a distribution."""
    version = importlib.metadata.version(distribution)
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", ":all:"]
    done = subprocess.run([*pip, "--dest", str(home), f"{distribution}=={version}"], check=False)
    sdists = list(home.glob("*.tar.gz"))
    if done.returncode or not sdists:
        raise Unavailable(f"pip cannot download the sdist of {distribution} {version}")
    with tarfile.open(sdists[0]) as archive:
        archive.extractall(home / "sdist", filter="data")
    [root] = (home / "sdist").iterdir()
    # Only the tests: the sources beside them would hide the installed package.
    for name in ("tests", "pyproject.toml"):
        (root / name).rename(home / name)
    shutil.rmtree(home / "sdist")


def _install(requirements: tuple[str, ...], home: Path) -> None:
    """Install what tests import beside aperf's environment, not into it."""
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--target", str(home / "site")]
    if subprocess.run([*pip, *requirements], check=False).returncode:
        raise Unavailable(f"pip cannot install {', '.join(requirements)}")


class CPython:
    """The tests of asyncio that come with the interpreter."""

    modules: ClassVar[tuple[str, ...]] = (
        "test_tasks",
        "test_taskgroups",
        "test_timeouts",
        "test_runners",
        "test_base_events",
        "test_locks",
        "test_queues",
        "test_streams",
    )

    def __init__(self, home: Path) -> None:
        self.home = home

    def prepare(self) -> None:
        """Look whether the tests were installed."""
        found = importlib.util.find_spec("test")
        if found is None or importlib.util.find_spec("test.test_asyncio") is None:
            raise Unavailable(
                f"{sys.executable} has no package test.test_asyncio: distributions often leave it "
                "out (Debian: libpython3-testsuite)"
            )

    def search_path(self) -> list[Path]:
        """Return nothing: they are in the standard library."""
        return []

    def command(self, module: str, report: Path, *, preload: bool) -> list[str]:
        """Run a module with unittest."""
        return _unittest_command(f"test.test_asyncio.{module}", report, preload=preload)

    def read(self, report: Path) -> Outcome:
        """Read the report of unittest_child.py."""
        return _read_json(report)


class Uvloop:
    """uvloop's own tests, most of which run on asyncio's loop too."""

    modules: ClassVar[tuple[str, ...]] = (
        "test_base",
        "test_context",
        "test_dealloc",
        "test_executors",
        "test_pipes",
        "test_process",
        "test_runner",
        "test_sockets",
        "test_tcp",
        "test_unix",
    )
    requirements: ClassVar[tuple[str, ...]] = ("psutil", "pyOpenSSL")

    def __init__(self, home: Path) -> None:
        self.home = home

    def prepare(self) -> None:
        """Fetch the tests; pip compiles half of uvloop before it believes the version."""
        if importlib.util.find_spec("uvloop") is None:
            raise Unavailable("uvloop is not installed")
        _fetch_tests("uvloop", self.home)
        _install(self.requirements, self.home)

    def search_path(self) -> list[Path]:
        """Return the directory with the package `tests`, and where the requirements are."""
        return [self.home, self.home / "site"]

    def command(self, module: str, report: Path, *, preload: bool) -> list[str]:
        """Run a module with unittest."""
        return _unittest_command(f"tests.{module}", report, preload=preload)

    def read(self, report: Path) -> Outcome:
        """Read the report of unittest_child.py."""
        return _read_json(report)


class AnyIO:
    """anyio's own tests on asyncio, uvloop and eager tasks."""

    modules: ClassVar[tuple[str, ...]] = (
        "test_taskgroups",
        "test_synchronization",
        "test_to_thread",
        "test_from_thread",
        "test_eventloop",
        "test_debugging",
        "test_lowlevel",
        "test_sockets",
        "streams",
    )
    requirements: ClassVar[tuple[str, ...]] = (
        "psutil",
        "pytest-mock",
        "pytest-timeout",
        "trustme",
        "truststore",
    )

    def __init__(self, home: Path) -> None:
        self.home = home

    def prepare(self) -> None:
        """Fetch the tests and what they import."""
        _fetch_tests("anyio", self.home)
        _install(self.requirements, self.home)

    def search_path(self) -> list[Path]:
        """Return where the requirements are."""
        return [self.home / "site"]

    def command(self, module: str, report: Path, *, preload: bool) -> list[str]:
        """Run a module with pytest, as anyio's pyproject.toml says."""
        path = self.home / "tests" / module
        target = path if path.is_dir() else path.with_suffix(".py")
        plugins = ["-p", "preload"] if preload else []
        quiet = ["-q", "--no-header", "--tb=short", "-p", "no:randomly", "-p", "no:cacheprovider"]
        # What needs a network fails or waits for time-outs with and without aperf. And
        # test_main_task_name closes every loop that the garbage collector knows, running or not:
        # it cannot pass where any other thread has one, as aperf's exporter thread does.
        unfit = "trio or ipv6 or test_main_task_name"
        selection = ["-k", f"not ({unfit})", "-m", "not network"]
        return ["-m", "pytest", *plugins, *quiet, *selection, f"--junitxml={report}", str(target)]

    def read(self, report: Path) -> Outcome:
        """Read pytest's report."""
        cases = list(ET.parse(report).iter("testcase"))
        bad = [case for case in cases if {"failure", "error"} & {child.tag for child in case}]
        failed = frozenset(f"{case.get('classname')}.{case.get('name')}" for case in bad)
        return Outcome(len(cases), failed)


SUITES: dict[str, type[CPython | Uvloop | AnyIO]] = {
    "cpython": CPython,
    "anyio": AnyIO,
    "uvloop": Uvloop,
}

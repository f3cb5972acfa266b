"""The OTLP exporter where processes fork and end: the places in which gRPC is easily upset."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.scripted_http_receiver import scripted_http_receiver
from tests.scripted_receiver import black_hole, refusing_port, scripted_receiver

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

PRELUDE = """
import atexit, os, sys, time
from aperf.exporters.otlp import OtlpExporter
from aperf.model import Category, SessionInfo, SpanBatch, Template, ThreadInfo

def in_s(seconds):
    return time.monotonic_ns() + int(seconds * 1e9)

def a_batch(spans):
    batch = SpanBatch([Template(Category.AWAIT, "await sleep")], [ThreadInfo(0, "")])
    for number in range(1, spans + 1):
        batch.rows.extend((0, 1, 1, 2, number, 9, 10, 20, 1, 0, 5, *[0] * 8))
    return batch

exporter = OtlpExporter(f"http://127.0.0.1:{sys.argv[1]}", protocol=sys.argv[2])
exporter.start(SessionInfo(service_name="shop"))
"""


RECEIVERS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "grpc": scripted_receiver,
    "http/protobuf": scripted_http_receiver,
}
both_protocols = pytest.mark.parametrize("protocol", RECEIVERS)


def run(program: str, port: int, protocol: str, *, timeout_s: float = 40) -> tuple[int, str, str]:
    """Run a program in a fresh interpreter; return its exit code, stdout and stderr."""
    warnings = ("-W", "default", "-W", "ignore::DeprecationWarning")  # those of fork with threads
    command = [sys.executable, *warnings, "-c", PRELUDE + program, str(port), protocol]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    return done.returncode, done.stdout, done.stderr


def test_import_is_light() -> None:
    """Neither the module nor an exporter that is not started imports gRPC or OpenTelemetry."""
    program = (
        "import sys; from aperf.exporters.otlp import OtlpExporter; OtlpExporter()\n"
        "print([name for name in sys.modules if name.startswith(('grpc', 'opentelemetry'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert b"[]" == done.stdout.strip()


FIRST_EXPORT_AT_EXIT = """
@atexit.register
def at_exit():
    exporter.export(a_batch(5), in_s(5))
    print(exporter.shutdown(in_s(10)))
"""
WARM_EXPORT_AT_EXIT = (
    """
exporter.export(a_batch(3), in_s(5))
assert exporter.flush(in_s(10))
"""
    + FIRST_EXPORT_AT_EXIT
)


@both_protocols
@pytest.mark.parametrize(
    ("program", "spans"),
    [(FIRST_EXPORT_AT_EXIT, 5), (WARM_EXPORT_AT_EXIT, 8)],
    ids=["first", "warm"],
)
def test_export_at_exit(program: str, spans: int, protocol: str) -> None:
    """While the interpreter exits, spans are delivered and the exit is clean."""
    with RECEIVERS[protocol]() as receiver:
        assert (7, "True\n", "") == run(program + "sys.exit(7)", receiver.port, protocol)
        assert spans == len(receiver.accepted)


@both_protocols
@pytest.mark.parametrize("shut_down", [True, False], ids=["shutdown", "abandoned"])
@pytest.mark.parametrize("peer", ["refusing", "black hole"])
def test_exit_with_a_dead_receiver(peer: str, shut_down: bool, protocol: str) -> None:
    """A receiver that is not there neither keeps the program from ending nor soils its stderr."""
    program = "exporter.export(a_batch(5), in_s(5))\nprint(exporter.flush(in_s(0.5)))\n"
    if shut_down:
        program += "print(exporter.shutdown(in_s(0.5)))\n"
    with black_hole() as hole:
        result = run(program, hole if peer == "black hole" else refusing_port(), protocol)
    assert (0, "False\nFalse\n" if shut_down else "False\n", "") == result


FORK = """
os.register_at_fork(after_in_child=exporter.forget_after_fork)
exporter.export(a_batch(10), in_s(5))
assert exporter.flush(in_s(10))
exporter.export(a_batch(5000), in_s(5))  # under way while the process forks
pid = os.fork()
if pid == 0:
    assert not any(exporter.statistics())
    assert exporter.flush(in_s(1)) and exporter.shutdown(in_s(1))
    {child}
_, status = os.waitpid(pid, 0)
exporter.export(a_batch(20), in_s(5))
print(os.waitstatus_to_exitcode(status), exporter.shutdown(in_s(10)))
"""
NEW_SESSION = (
    "exporter.start(SessionInfo(service_name='child')); exporter.export(a_batch(7), in_s(5));"
    "assert exporter.shutdown(in_s(10));"
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@both_protocols
@needs_fork
@pytest.mark.parametrize(
    ("child", "spans"),
    [
        ("os._exit(3)", 5030),
        ("sys.exit(3)", 5030),
        (f"{NEW_SESSION} os._exit(3)", 5037),
        (f"{NEW_SESSION} sys.exit(3)", 5037),
    ],
    ids=["_exit", "exit", "new session, _exit", "new session, exit"],
)
def test_fork(child: str, spans: int, protocol: str) -> None:
    """With a connection open, a child ends cleanly or starts anew, and the parent goes on."""
    with RECEIVERS[protocol]() as receiver:
        assert (0, "3 True\n", "") == run(FORK.format(child=child), receiver.port, protocol)
        assert spans == len(receiver.accepted)


@both_protocols
@pytest.mark.faults
def test_many_forks(protocol: str) -> None:
    """The same a hundred times: a lock held while forking would show."""
    program = (
        "for _ in range(100):\n" + "".join(f"    {line}\n" for line in FORK.splitlines()[2:])
    ).format(child=f"{NEW_SESSION} os._exit(3)")
    program = program.replace("exporter.shutdown(in_s(10)))\n", "exporter.flush(in_s(10)))\n")
    program = "os.register_at_fork(after_in_child=exporter.forget_after_fork)\n" + program
    with RECEIVERS[protocol]() as receiver:
        assert (0, "3 True\n" * 100, "") == run(program, receiver.port, protocol, timeout_s=50)
        assert 503_700 == len(receiver.accepted)


@both_protocols
@pytest.mark.faults
def test_exit_while_sending(protocol: str) -> None:
    """Ending at any moment of an export, without a word to the exporter, is clean."""
    program = "exporter.export(a_batch(20_000), in_s(5)); time.sleep({delay})"
    with RECEIVERS[protocol]() as receiver:
        for step in range(40):
            result = run(program.format(delay=step / 1000), receiver.port, protocol)
            assert (0, "", "") == result

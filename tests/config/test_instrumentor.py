"""`opentelemetry-instrument`: the real command, with programs that know nothing of aperf."""

from __future__ import annotations

import os
import sys
from collections import Counter
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aperf._config import VARIABLES, environment_variables
from tests.command_line import Outcome, clean_environment, run_python, write
from tests.scripted_receiver import scripted_receiver

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND = Path(sys.executable).with_name("opentelemetry-instrument")

#: What an installation of aperf registers.
ENTRY_POINTS = """
    [opentelemetry_instrumentor]
    aperf = aperf._instrumentor:AperfInstrumentor

    [opentelemetry_environment_variables]
    aperf = aperf._config.environment_variables
"""
PROGRAM = """
    import asyncio, sys

    async def work():
        await asyncio.sleep(0.001)

    async def main():
        await asyncio.gather(work(), work())
        print(*sys.argv[1:])

    asyncio.run(main())
"""
TASKS = Counter(main=1, work=2)


@pytest.fixture
def instrument(tmp_path: Path) -> Callable[..., Outcome]:
    """Run a program under the command, in a directory with ``app.py`` and a package ``shop``."""
    installed = tmp_path / "aperf-0.dist-info"
    write(installed / "METADATA", "Metadata-Version: 2.1\nName: aperf\nVersion: 0\n")
    write(installed / "entry_points.txt", ENTRY_POINTS)
    write(tmp_path / "app.py", PROGRAM)
    write(tmp_path / "shop" / "__init__.py", "")
    write(tmp_path / "shop" / "__main__.py", PROGRAM)

    def run(*words: str, **variables: str) -> Outcome:
        path = os.pathsep.join([str(tmp_path), clean_environment()["PYTHONPATH"]])
        return run_python(str(COMMAND), *words, cwd=tmp_path, PYTHONPATH=path, **variables)

    return run


def endpoint(port: int) -> str:
    """Return the URL of a receiver in this process."""
    return f"http://127.0.0.1:{port}"


@pytest.mark.parametrize(
    ("words", "service"), [(("app.py",), "app"), (("-m", "shop"), "shop"), (("-mshop",), "shop")]
)
def test_spans_arrive(
    instrument: Callable[..., Outcome], words: tuple[str, ...], service: str
) -> None:
    """A program that does nothing about telemetry is watched, and called after itself."""
    with scripted_receiver() as receiver:
        done = instrument(
            sys.executable, *words, "a", "-m", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(receiver.port)
        )
    assert (0, "a -m\n", "") == done
    found = Counter(span.name for span in receiver.accepted)
    assert TASKS == Counter({name: found[name] for name in TASKS})
    (resource,) = {
        attribute.value.string_value
        for request in receiver.requests
        for spans in request.message.resource_spans
        for attribute in spans.resource.attributes
        if attribute.key == "service.name"
    }
    assert service == resource


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TELEMETRY_ENABLED", "false"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "other, aperf"),
        ("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "*"),
    ],
)
def test_off(instrument: Callable[..., Outcome], variable: str, value: str) -> None:
    """The program runs unwatched where aperf is off, or one of the instrumentations that are."""
    with scripted_receiver() as receiver:
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint(receiver.port), variable: value}
        done = instrument(sys.executable, "app.py", **variables)
    assert (0, "\n", "") == done
    assert [] == receiver.requests


@pytest.mark.parametrize(
    ("variables", "printed"),
    [({}, False), ({"APERF_SUMMARY": "text"}, True), ({"TELEMETRY_ENABLED": "yes"}, True)],
)
def test_summary(
    instrument: Callable[..., Outcome], variables: dict[str, str], printed: bool
) -> None:
    """Nothing is printed in the midst of what the program prints, unless somebody asks for it."""
    code, stdout, stderr = instrument(sys.executable, "app.py", **variables)
    assert (0, "\n") == (code, stdout)
    assert printed == ("main" in stderr)


def test_bad_variable(instrument: Callable[..., Outcome]) -> None:
    """A bad variable is a line, and neither the program nor other instrumentations suffer."""
    done = instrument(sys.executable, "app.py", APERF_RING_MB="lots")
    problem = "'lots' is not accepted; use a whole number from 1 to 1024"
    told = f"aperf: APERF_RING_MB: {problem}\naperf: telemetry stays off\n"
    assert (0, "\n", told) == done


def test_instrument_loop_joins(instrument: Callable[..., Outcome], tmp_path: Path) -> None:
    """A library that asks for its loop to be watched gets the session that is there."""
    program = PROGRAM.replace("async def main():\n", "async def main():\n        JOIN\n")
    joining = "import aperf; assert aperf.instrument_loop() is aperf.instrument_loop()"
    write(tmp_path / "app.py", program.replace("JOIN", joining))
    with scripted_receiver() as receiver:
        done = instrument(
            sys.executable, "app.py", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint(receiver.port)
        )
    assert (0, "\n", "") == done
    found = Counter(span.name for span in receiver.accepted)
    assert TASKS == Counter({name: found[name] for name in TASKS})


def test_option(instrument: Callable[..., Outcome]) -> None:
    """The command makes options of OpenTelemetry's variables, and of the one that aperf adds."""
    with scripted_receiver() as receiver:
        url = endpoint(receiver.port)
        words = ("--exporter_otlp_endpoint", url, "--sdk_enabled", "false")
        assert (0, "\n", "") == instrument(*words, sys.executable, "app.py")
    assert [] == receiver.requests


def test_uninstrument(tmp_path: Path) -> None:
    """The session ends when the instrumentor is told so, and can begin anew."""
    program = """
        import asyncio
        import aperf
        from aperf._instrumentor import AperfInstrumentor

        for _ in range(2):
            AperfInstrumentor().instrument(awaits="suspended", service_name="shop")
            assert aperf.is_active()
            asyncio.run(asyncio.sleep(0))
            AperfInstrumentor().uninstrument()
            assert not aperf.is_active()
    """
    write(tmp_path / "app.py", program)
    assert (0, "", "") == run_python("app.py", cwd=tmp_path)


def test_list_of_variables() -> None:
    """The list has what is aperf's own, and nothing that OpenTelemetry lists as well."""
    ours = set(environment_variables.__all__)
    assert {"APERF_RING_MB", "OTEL_SDK_ENABLED", "TELEMETRY_ENABLED", "TRACY_PORT"} <= ours
    assert ours <= {variable.name for variable in VARIABLES} & set(dir(environment_variables))
    for entry in metadata.entry_points(group="opentelemetry_environment_variables"):
        if entry.name != "aperf":
            assert not ours & set(dir(import_module(entry.value)))

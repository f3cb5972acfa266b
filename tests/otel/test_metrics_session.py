from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

import pytest

import aperf
from aperf._config import Settings, read_settings
from tests.metered import a_bit_of_everything
from tests.metrics_receiver import grpc_metrics_receiver
from tests.watched import run_plain

if TYPE_CHECKING:
    from pathlib import Path

_open = build_opener(ProxyHandler({})).open


def scrape(url: str) -> str:
    """Return what a listener says."""
    with _open(url, timeout=20) as response:
        text: str = response.read().decode()
    return text


@pytest.mark.parametrize("exporters", [[], None])
def test_any_session_can_be_scraped(exporters: list[aperf.exporters.Exporter] | None) -> None:
    """Whatever else takes its data, a session has a listener for who starts one."""

    async def main() -> str:
        settings = Settings(enabled=True, summary="none")
        async with aperf.session(settings=settings, exporters=exporters) as session:
            listener = await session.start_metrics_listener("127.0.0.1:0")
            await a_bit_of_everything()
            await session.flush()
            return await asyncio.to_thread(scrape, listener.url)

    assert 'asyncio_task_finished_total{asyncio_task_outcome="error"' in run_plain(main())


def test_a_session_that_is_off_listens_nowhere() -> None:
    """A program that starts a listener runs the same with telemetry off."""

    async def main() -> None:
        async with aperf.session(enabled=False) as session:
            listener = await session.start_metrics_listener(":9091")
            assert (0, "") == (listener.port, listener.url)
            await listener.stop()

    run_plain(main())


def test_the_environment_alone_pushes_and_serves() -> None:
    """With the variables set, a session pushes and listens without a line of code."""
    with grpc_metrics_receiver() as receiver:
        environ = {
            "TELEMETRY_ENABLED": "1",
            "APERF_SUMMARY": "none",
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://127.0.0.1:{receiver.port}",
            "METRICS_LISTEN_ADDRESS": "127.0.0.1:0",
        }

        async def main() -> str:
            async with aperf.session(settings=read_settings(environ)) as session:
                await a_bit_of_everything()
                listener = await session.start_metrics_listener()
                return await asyncio.to_thread(scrape, listener.url)

        assert "target_info{" in run_plain(main())
        assert "asyncio.eventloop.delay" in receiver.metrics()
        resource = receiver.requests[-1].resource_metrics[0].resource
        assert "shop" in {pair.value.string_value for pair in resource.attributes}


def test_the_command_pushes_what_a_program_did(tmp_path: Path) -> None:
    """`aperf run` delivers metrics of a program that knows nothing of it."""
    script = tmp_path / "app.py"
    script.write_text("import asyncio\nasyncio.run(asyncio.sleep(0.01))\n")
    with grpc_metrics_receiver() as receiver:
        endpoint = f"http://127.0.0.1:{receiver.port}"
        environ = {**os.environ, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint}
        command = [sys.executable, "-m", "aperf", "run", "--summary", "none", str(script)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
        assert (0, "") == (done.returncode, done.stderr)
        waits = receiver.metrics()["asyncio.task.waits"].sum.data_points
    assert {"sleep": 1} == {p.attributes[0].value.string_value: p.as_int for p in waits}


def test_a_provider_of_the_program_is_seen_while_it_runs(tmp_path: Path) -> None:
    """Under `aperf run` a provider set by the program gets the metrics, without any flush."""
    script = tmp_path / "app.py"
    script.write_text(
        "import asyncio\n"
        "from opentelemetry import metrics\n"
        "from opentelemetry.sdk.metrics import MeterProvider\n"
        "from opentelemetry.sdk.metrics.export import InMemoryMetricReader\n"
        "reader = InMemoryMetricReader()\n"
        "metrics.set_meter_provider(MeterProvider([reader]))\n"
        "async def main():\n"
        "    async with asyncio.timeout(30):\n"
        "        while 'asyncio.task.created' not in str(reader.get_metrics_data()):\n"
        "            await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-m", "aperf", "run", "--summary", "none", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (0, "") == (done.returncode, done.stderr)

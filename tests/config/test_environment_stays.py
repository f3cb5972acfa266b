"""aperf reads the environment and never writes to it, in Python's view and in the C library's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.command_line import run_python, write

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
    import argparse, asyncio, ctypes, json, os, sys
    import aperf
    from aperf._config import VARIABLES, Settings

    getenv = ctypes.CDLL(None).getenv
    getenv.argtypes, getenv.restype = [ctypes.c_char_p], ctypes.c_char_p
    NAMES = sorted({variable.name for variable in VARIABLES} | os.environ.keys())

    def look():
        return dict(os.environ), {name: getenv(name.encode()) for name in NAMES}

    async def main():
        async with aperf.session(service_name="other", exporters=[]) as session:
            await asyncio.sleep(0)
            during = look()
            await session.flush()
        return during

    before = look()
    parser = argparse.ArgumentParser()
    Settings.add_arguments(parser)
    Settings.from_namespace(parser.parse_args(["--service-name=x", "--otlp-endpoint=http://a:1"]))
    during = asyncio.run(main())
    name = before[1]["OTEL_SERVICE_NAME"].decode()
    print(json.dumps([before == during == look(), len(before[0]), name]))
"""


def test_environment_stays(tmp_path: Path) -> None:
    """A session with everything set leaves `os.environ` and `getenv` as they were."""
    write(tmp_path / "app.py", PROGRAM)
    variables = {
        "TELEMETRY_ENABLED": "true",
        "OTEL_SERVICE_NAME": "shop",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_TRACES_SAMPLER": "traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "APERF_LOG": "debug",
    }
    code, stdout, stderr = run_python("app.py", cwd=tmp_path, **variables)
    assert (0, "") == (code, stderr)
    same, count, name = json.loads(stdout)
    assert same
    assert (True, "shop") == (count > len(variables), name)

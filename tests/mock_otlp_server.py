"""A second OTLP receiver that others wrote: Elastic's mock server, from npm.

`nox -s receivers` installs it. Its command knows no ports but 4317 and 4318, so it is used as a
library, which takes free ones. Use it with ``from tests.mock_otlp_server import mockotlpserver``.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

import pytest

from tests.receivers import end, logs_in, metrics_in, spans_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.receivers import ReceivedLog, ReceivedMetric, ReceivedSpan

__all__ = ("MockOtlpServer", "mockotlpserver")

#: Names the directory in which npm has installed it.
_HOME: Final = "APERF_TEST_MOCKOTLPSERVER"
_START_TIMEOUT_S: Final = 60

# Prints requests as Datadog's agent shows them: in the JSON form of Protocol Buffers (bytes as
# base64), but with the fields' own names.
_PROGRAM: Final = """
const {MockOtlpServer} = require('@elastic/mockotlpserver');
const ENUMS = {
    kind: ['UNSPECIFIED', 'INTERNAL', 'SERVER', 'CLIENT'].map((name) => `SPAN_KIND_${name}`),
    code: ['UNSET', 'OK', 'ERROR'].map((name) => `STATUS_CODE_${name}`),
};
function plain(value, field) {
    if (field in ENUMS) return ENUMS[field][value];
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
    if (Array.isArray(value)) return value.map((item) => plain(item));
    if (value === null || typeof value !== 'object') return value;
    if ('low' in value && 'high' in value) return value.toString();  // 64 bits
    return Object.fromEntries(Object.entries(value).map(([name, item]) => {
        const field = name.replace(/[A-Z]/g, (letter) => '_' + letter.toLowerCase());
        return [field, plain(item, field)];
    }));
}
const print = (request) => console.log(JSON.stringify(plain(request)));
const server = new MockOtlpServer({
    logLevel: 'warn',
    services: ['http', 'grpc'],
    httpHostname: '127.0.0.1',
    httpPort: 0,
    grpcHostname: '127.0.0.1',
    grpcPort: 0,
    onTrace: print,
    onLogs: print,
    onMetrics: print,
});
server.start().then(() => print({grpc: server.grpcUrl.origin, http: server.httpUrl.origin}));
"""

# The environment's proxies are for the outside world.
_open = build_opener(ProxyHandler({})).open


@dataclass(slots=True, kw_only=True)
class MockOtlpServer:
    """A running server.

    Attributes:
        endpoint: where it takes OTLP/gRPC.
        http_url: where it takes OTLP/HTTP.
    """

    endpoint: str
    http_url: str
    _output: Path
    _skipped: int = field(default=1)  # lines; the first one tells where it listens

    def spans(self) -> list[ReceivedSpan]:
        """Return the spans that have arrived so far."""
        return list(spans_in(self._requests()))

    def logs(self) -> list[ReceivedLog]:
        """Return the log records that have arrived so far."""
        return list(logs_in(self._requests()))

    def metrics(self) -> list[ReceivedMetric]:
        """Return the metrics that have arrived so far, once for each time."""
        return list(metrics_in(self._requests()))

    def clear(self) -> None:
        """Forget what has arrived."""
        self._skipped = len(self._lines())

    def _requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._lines()[self._skipped :]]

    def _lines(self) -> list[str]:
        """Return what it has printed of all requests that it has answered.

        It prints a request just after the answer, before it turns to the next one: so one is asked.
        """
        try:
            _open(f"{self.http_url}/", timeout=20).close()
        except HTTPError as error:  # this is no OTLP, it says
            error.close()
        return self._output.read_text().splitlines()


@pytest.fixture(scope="session")
def mockotlpserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockOtlpServer]:
    """Elastic's mock server on free ports of 127.0.0.1."""
    home, node = os.environ.get(_HOME), shutil.which("node")
    if home is None or node is None:
        pytest.fail(f"{_HOME} names no directory, or there is no node: run `nox -s receivers`")
    output = tmp_path_factory.mktemp("mockotlpserver") / "output.txt"
    with _process(node, home, output) as process:
        yield _started(process, output)


@contextmanager
def _process(node: str, home: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        command = [node, "--eval", _PROGRAM]
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=home)
        try:
            yield process
        finally:
            end(process)


def _started(process: subprocess.Popen[bytes], output: Path) -> MockOtlpServer:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not (text := output.read_text()).endswith("\n"):
        running = process.poll() is None and time.monotonic() < deadline_s
        assert running, f"the server does not start:\n{text}"
        time.sleep(0.05)
    where = json.loads(text)
    return MockOtlpServer(endpoint=where["grpc"], http_url=where["http"], _output=output)

"""Sessions whose log records leave as OTLP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aperf
from aperf._config import LogsSettings, OtlpSettings, Settings

if TYPE_CHECKING:
    from aperf._session import Session

__all__ = ("NEVER_NS", "exporting", "logs_to")

#: So that a test that does not wait for the delay never sees its end.
NEVER_NS = 3600 * 10**9


def logs_to(port: int, protocol: Any = "grpc", **settings: Any) -> LogsSettings:
    """Return the settings for a receiver on this machine."""
    names = LogsSettings.__dataclass_fields__.keys() & settings.keys()
    ours = {name: settings.pop(name) for name in names}
    otlp = OtlpSettings(protocol=protocol, endpoint=f"http://127.0.0.1:{port}", **settings)
    return LogsSettings(**({"delay_ns": NEVER_NS} | ours), otlp=otlp)


def exporting(logs: LogsSettings, **settings: Any) -> Session:
    """Return a session that exports log records, and nothing else."""
    given: dict[str, Any] = {"summary": "none", "service_name": "shop", **settings}
    return aperf.session(settings=Settings(enabled=True, logs=logs, **given))

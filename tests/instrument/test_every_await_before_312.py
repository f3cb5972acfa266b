from __future__ import annotations

import sys

import pytest

import aperf

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="sys.monitoring came with Python 3.12"
)


def test_python_3_11_cannot_watch_every_await() -> None:
    """The error says what is needed, and what to use instead."""
    with pytest.raises(aperf.ConfigurationError, match=r"3\.12.*this is Python 3\.11.*'suspended'"):
        aperf.session(enabled=True, awaits="all")


def test_the_variable_leaves_telemetry_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A library must not fail its user's request: one line says why, and the program goes on."""
    monkeypatch.setenv("TELEMETRY_ENABLED", "true")
    monkeypatch.setenv("APERF_AWAITS", "all")
    with aperf.session(exporters=[]) as session:
        assert not session.is_enabled
    assert "all needs Python 3.12" in capsys.readouterr().err

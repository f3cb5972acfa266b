"""Interceptors for ``grpc.aio``: a span and metrics of every call, and one trace on both sides."""

from __future__ import annotations

from ._interceptors import client_interceptors, server_interceptors

__all__ = ("client_interceptors", "server_interceptors")

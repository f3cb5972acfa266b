"""The token of whoever exports, asked for anew before each request."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("Authorization", "TokenProvider")

_LOG: Final = logging.getLogger("aperf")

if TYPE_CHECKING:
    #: Returns the token to send from now on, or None for none.
    TokenProvider = Callable[[], str | None]


class Authorization:
    """Makes the header ``authorization``; keeps the last token while the provider fails.

    Args:
        provider: asked for the token, by one thread at a time; None for no header.
        endpoint: shown in warnings.
    """

    def __init__(self, provider: TokenProvider | None, endpoint: str) -> None:
        self._provider = provider
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._token: str | None = None
        self._is_failing = False

    def headers(self) -> Mapping[str, str]:
        """Return what to send with the next request."""
        if self._provider is None:
            return {}
        with self._lock:
            try:
                self._token = _checked(self._provider())
                self._is_failing = False
            except Exception as error:
                self._failed(error)
            return {} if self._token is None else {"authorization": f"Bearer {self._token}"}

    def without_token(self, text: str) -> str:
        """Return what a receiver said without the token, should it repeat it."""
        token = self._token
        return text.replace(token, "***") if token else text

    def _failed(self, error: Exception) -> None:
        """Write one line for a run of failures; the error's own words might hold a token."""
        if not self._is_failing:
            self._is_failing = True
            use = "the requests go without one" if self._token is None else "the last one is used"
            text = "the token provider for OTLP to %s failed (%s); %s"
            _LOG.warning(text, self._endpoint, type(error).__name__, use)


def _checked(token: object) -> str | None:
    """Return a token that can stand in a header.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, or has spaces or other letters that a header cannot carry.
    """
    if token is None:
        return None
    if not isinstance(token, str):
        raise TypeError("a token is a text")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token has visible ASCII letters only")
    return token

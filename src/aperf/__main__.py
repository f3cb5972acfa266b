"""``python -m aperf``, and what the command ``aperf`` calls."""

from __future__ import annotations

import sys

from aperf._cli import main

__all__ = ("main",)

if __name__ == "__main__":
    sys.exit(main())

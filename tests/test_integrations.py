"""docs/integrations.md says which tests hold what it tells."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def test_they_exist() -> None:
    """Each test that is named can be found."""
    named = NAMED.findall((ROOT / "docs" / "integrations.md").read_text("utf-8"))
    assert len(named) > 20
    for path, name in named:
        tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
        assert name in {getattr(node, "name", "") for node in tree.body}, (path, name)

"""OpenTelemetry's configuration file: reading it, before anybody asks what it says.

Values may refer to variables: ``${NAME}``, ``${env:NAME}`` or ``${NAME:-default}``; ``$$`` stands
for a dollar.
https://opentelemetry.io/docs/specs/otel/configuration/data-model/
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from aperf._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ("load_file",)

_REFERENCE: Final = re.compile(
    r"\$\$|\$\{(?:env:)?(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}"
)


def load_file(path: str, environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what stands in a file: JSON by its name, else YAML.

    Raises:
        ConfigurationError: it cannot be read, or is no configuration.
    """

    def substitute(text: str) -> str:
        return _REFERENCE.sub(lambda found: _value(found, environ), text)

    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        is_json = path.lower().endswith(".json")
        content = _from_json(text, substitute) if is_json else _from_yaml(text, substitute)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except ValueError as error:  # not UTF-8, JSON or YAML
        raise _unusable(path, " ".join(str(error).split())) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise _unusable(path, "it is no mapping")
    version = str(content.pop("file_format", None))
    if version.partition(".")[0] != "1":
        raise _unusable(path, f"its file_format is {version}; 1.0 is accepted")
    return content


def _unusable(path: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"the configuration file {path!r} cannot be used: {why}")


def _value(found: re.Match[str], environ: Mapping[str, str]) -> str:
    name = found["name"]
    return environ.get(name) or found["default"] or "" if name else "$"


def _from_json(text: str, substitute: Callable[[str], str]) -> object:
    def walk(value: object) -> object:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        return substitute(value) if isinstance(value, str) else value

    return walk(json.loads(text))


def _from_yaml(text: str, substitute: Callable[[str], str]) -> object:
    try:
        import yaml
    except ImportError as error:
        needs = "YAML needs a package: pip install pyyaml (a .json file needs none)"
        raise ValueError(needs) from error

    class Loader(yaml.SafeLoader):
        """Substitutes while it reads; what nothing but a reference stands for may be a number."""

        def compose_scalar_node(self, anchor: dict[Any, yaml.Node]) -> yaml.ScalarNode:
            node = super().compose_scalar_node(anchor)
            if node.tag == "tag:yaml.org,2002:str" and "$" in node.value:
                is_all = node.style is None and _REFERENCE.fullmatch(node.value)
                node.value = substitute(node.value)
                if is_all:
                    resolve: Callable[..., str] = self.resolve
                    node.tag = resolve(yaml.ScalarNode, node.value, (True, False))
            return node

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error

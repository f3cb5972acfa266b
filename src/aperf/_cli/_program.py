"""Load the user's program so that it cannot tell who started it.

A script is compiled and executed here. Modules, directories and archives go through the function of
runpy that the interpreter itself calls for ``python -m``: the same messages, the same tracebacks.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import marshal
import os
import pkgutil
import runpy
import sys
from dataclasses import dataclass
from functools import partial
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("Program", "load")

_PYC_HEADER = 16  # bytes: magic number, flags, and two words that depend on the flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run, and what it is to find in sys.

    Attributes:
        name: what a person calls it; the name of the service unless another is set.
        argv: sys.argv as the program finds it.
        directory: sys.path[0] as the program finds it.
        execute: runs it in the module ``__main__``.
    """

    name: str
    argv: list[str]
    directory: str
    execute: Callable[[], object]

    def run(self) -> None:
        """Run it, with everything in place that Python would have put there."""
        main = ModuleType("__main__")
        vars(main).update(__annotations__={}, __builtins__=builtins)
        sys.modules["__main__"] = main
        if "__mp_main__" in sys.modules:
            # multiprocessing was imported before us and took our module for the program's. Objects
            # that spawned workers send back are looked up there.
            sys.modules["__mp_main__"] = main
        sys.argv[:] = self.argv
        if not sys.flags.safe_path:
            sys.path[0] = self.directory
        self.execute()


def load(words: Sequence[str]) -> Program:
    """Return the program that ``python WORDS...`` would run.

    Raises:
        OSError: the script cannot be read.
        SyntaxError: it cannot be compiled.
    """
    first, *arguments = words
    if first == "-m":
        module, *arguments = arguments
        return Program(
            name=module.removesuffix(".__main__"),
            argv=["-m", *arguments],
            directory=os.getcwd(),
            execute=partial(_run_module, module, alter_argv=True),
        )
    path = os.path.join(os.getcwd(), first)  # not normalised: Python shows it so in tracebacks
    name = os.path.splitext(os.path.basename(os.path.normpath(path)))[0]
    if pkgutil.get_importer(path) is not None:  # a directory or an archive
        execute = partial(_run_module, "__main__", alter_argv=False)
        return Program(name=name, argv=list(words), directory=path, execute=execute)
    return Program(
        name=name,
        argv=list(words),
        directory=os.path.dirname(os.path.realpath(path)),
        execute=partial(_run_script, path, _compile(path)),
    )


def _run_module(name: str, *, alter_argv: bool) -> None:
    # Private, but what it is called with is fixed: the interpreter itself does so.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _compile(path: str) -> CodeType:
    with io.open_code(path) as file:
        content = file.read()
    if content.startswith(importlib.util.MAGIC_NUMBER):
        code = marshal.loads(content[_PYC_HEADER:])
        assert isinstance(code, CodeType)
        return code
    return compile(content, path, "exec", dont_inherit=True)


def _run_script(path: str, code: CodeType) -> None:
    loader = SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader
    namespace = vars(sys.modules["__main__"])
    namespace.update(__file__=path, __cached__=None, __loader__=loader("__main__", path))
    exec(code, namespace)

"""Build the optional native core; everything else is said in pyproject.toml.

APERF_EXTENSION         auto (default): try to build it; require: fail without; skip: pure Python
APERF_EXTENSION_DEBUG   1: no optimisation, debug symbols, assertions
APERF_EXTENSION_CFLAGS  further flags for compiler and linker
"""

import os
import platform
import shlex
import sys
from glob import glob

from setuptools import Extension, setup

NATIVE = "src/aperf/_recorder/_core_src"
MODES = ("auto", "require", "skip")


def native_core() -> list[Extension]:
    """Return the native core as setuptools wants it, or nothing where it is not to be built."""
    mode = os.environ.get("APERF_EXTENSION", "auto")
    if mode not in MODES:
        sys.exit(f"APERF_EXTENSION={mode!r} is not one of {', '.join(MODES)}")
    sources = sorted(glob(f"{NATIVE}/*.c"))
    if mode == "skip" or not sources or platform.python_implementation() != "CPython":
        return []
    debug = os.environ.get("APERF_EXTENSION_DEBUG") == "1"
    extra = shlex.split(os.environ.get("APERF_EXTENSION_CFLAGS", ""))
    flags = ["-std=c11", "-Wall", "-Wextra", "-fvisibility=hidden"]
    flags += ["-O0", "-g3", "-UNDEBUG"] if debug else ["-O3"]
    if mode == "require":
        flags.append("-Werror")  # not for users: their newer compiler may know more warnings
    return [
        Extension(
            "aperf._recorder._core",
            sources=sources,
            depends=sorted(glob(f"{NATIVE}/*.h")),
            extra_compile_args=flags + extra,
            extra_link_args=extra,
            optional=mode == "auto",
        )
    ]


setup(ext_modules=native_core())

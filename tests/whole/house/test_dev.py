"""dev.py: from a fresh clone to a running program, and what it says where it cannot."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import dev

ROOT = Path(__file__).resolve().parents[3]
PROJECT = """\
[project]
name = "ttslo"
dependencies = []
optional-dependencies = { demo = [], test = [], dev = ["ttslo[demo]"] }
classifiers = [
  "Programming Language :: Python :: 3",
  "Programming Language :: Python :: 3.12",
  "Programming Language :: Python :: 3.99",
]
"""
# A stand-in program that says how it was started.
PROGRAM = "import os, sys; print(sys.prefix, os.getcwd(), *sys.argv[1:], sep='|'); sys.exit(7)"
# A Python 3.12 that can make an environment of its kind, and has tests that pass or fail.
OTHER_PYTHON = """\
#!/bin/sh
case "$*" in
  *version_info*) echo 3.12 ;;
  *sys.executable*) echo "$0" ;;
  *find_spec*) echo False ;;
  *"-m venv"*) mkdir -p "$5/bin" && cp "$0" "$5/bin/python" ;;
  *"-m pytest"*) echo "pytest $*"; exit CODE ;;
esac
"""
# What Debian's Python looks like without its extra packages.
BARE_PYTHON = """\
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in LACKING else find(name)
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a small project around a copy of dev.py."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    shutil.copy(ROOT / "dev.py", folder)
    (folder / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (folder / "fake_kraken").mkdir()
    (folder / "fake_kraken" / "__main__.py").write_text(PROGRAM, encoding="utf-8")
    return folder


def run(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the copy of dev.py, in the folder that the test is in."""
    return subprocess.run(
        [sys.executable, str(clone / "dev.py"), *arguments],
        env={**os.environ, "PIP_NO_INDEX": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def give_venv(clone: Path) -> None:
    """Make the environment of `clone` in a moment: no test here installs anything."""
    command = [sys.executable, "-m", "venv", "--without-pip", str(clone / ".venv")]
    subprocess.run(command, check=True)


def test_dev_can_be_read_by_an_old_python() -> None:
    """Python 3.7 and older could read the file, and so say that they are too old."""
    ast.parse((ROOT / "dev.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_dev_checks_the_python_before_it_needs_a_new_one() -> None:
    """Nothing that an old Python lacks is imported, defined or called before the check."""
    body = ast.parse((ROOT / "dev.py").read_text(encoding="utf-8")).body
    (check,) = (n for n, node in enumerate(body) if isinstance(node, ast.If) and n < len(body) - 1)
    allowed = (ast.Expr, ast.Import, ast.ImportFrom, ast.Assign)
    assert all(isinstance(node, allowed) for node in body[:check])
    assert "tomllib" not in "".join(ast.unparse(node) for node in body[:check])


def test_program_gets_arguments_folder_and_exit_code(clone: Path, place_of_its_own: Path) -> None:
    """The program runs in the environment, in the caller's folder, and its exit code counts."""
    give_venv(clone)
    answer = run(clone, "exchange", "--port", "0")
    assert answer.stdout.strip() == f"{clone / '.venv'}|{Path.cwd()}|--port|0"
    assert answer.returncode == 7


def test_second_run_installs_nothing(clone: Path) -> None:
    """Only the first run installs, until pyproject.toml asks for something else."""
    give_venv(clone)
    assert "installing" in run(clone, "exchange").stderr
    assert "installing" not in run(clone, "exchange").stderr
    changed = PROJECT.replace("demo = []", 'demo = ["./not-there"]')
    (clone / "pyproject.toml").write_text(changed, encoding="utf-8")
    assert "pip could not install" in run(clone, "exchange").stderr


def test_what_is_compiled_is_kept_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where nothing is to be kept beside the sources: the tests start Python often."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    code = "import sys; print(sys.pycache_prefix, sys.dont_write_bytecode)"
    assert dev.run([sys.executable, "-c", code]) == 0
    assert capfd.readouterr().out.split() == [str(ROOT / ".venv" / "compiled"), "False"]
    assert dev.run([sys.executable, "-c", "raise SystemExit(3)"]) == 3


def test_checks_serve_the_demo_too(clone: Path) -> None:
    """Whoever has run the tests once can run the demo without a network."""
    give_venv(clone)
    run(clone, "test", "--version")
    assert "installing" not in run(clone, "exchange").stderr


@pytest.mark.parametrize(
    ("failing", "named"),
    [("", ""), ("mypy/stubtest", "stubs"), ("ruff", "formatting, lint"), ("pytest", "tests")],
)
def test_all_checks_run_after_the_tests_were_read_once(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    failing: str,
    named: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Workers find what one reading has kept; what fails stops nothing after it and is named."""
    ran = tmp_path / "ran"
    ran.touch()
    says = (
        "import sys, time\n"
        "is_reading = '--collect-only' in sys.argv\n"
        f"while is_reading and len(open({str(ran)!r}).readlines()) < 4:\n"
        "    time.sleep(0.01)  # it goes on beside all checks, however long they take\n"
        "time.sleep(0.5 * is_reading)  # it ends last, unless somebody waits for it\n"
        f"print('NAME', 'reads' * is_reading, file=open({str(ran)!r}, 'a'))\n"
        f"sys.exit('NAME' == {failing!r} and not is_reading)\n"
    )
    (tmp_path / "mypy").mkdir()
    (tmp_path / "mypy" / "__init__.py").touch()
    for name in ("ruff", "mypy/__main__", "mypy/stubtest", "pytest"):
        (tmp_path / f"{name}.py").write_text(says.replace("NAME", name), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    assert dev.test(sys.executable, []) == bool(failing)
    *checks, reading, tests = ran.read_text(encoding="utf-8").splitlines()
    assert checks == ["ruff ", "ruff ", "mypy/__main__ ", "mypy/stubtest "]
    assert (reading, tests) == ("pytest reads", "pytest ")
    assert capsys.readouterr().err == (f"dev.py: failed: {named}\n" if named else "")


def test_failed_install_is_tried_again(clone: Path) -> None:
    """A failing pip gives one sentence and exit code 1, and the next run tries again."""
    give_venv(clone)
    asking = PROJECT.replace("demo = []", 'demo = ["./not-there"]')
    (clone / "pyproject.toml").write_text(asking, encoding="utf-8")
    for _ in range(2):
        answer = run(clone, "exchange")
        assert answer.returncode == 1
        assert "check the network and pip's configuration" in answer.stderr
        assert "Traceback" not in answer.stderr


def test_ruined_environment_is_made_anew(clone: Path) -> None:
    """Where the Python of `.venv` is gone, a new environment takes its place."""
    give_venv(clone)
    for programs in ("bin", "Scripts"):
        shutil.rmtree(clone / ".venv" / programs, ignore_errors=True)
    answer = run(clone, "exchange", PYTHONPATH=lacking(clone, "ensurepip"))  # made in a moment
    assert "making" in answer.stderr
    assert answer.returncode == 7


def test_python_without_ensurepip_and_pip_is_told_what_to_install(clone: Path) -> None:
    """A Python that can make no environment gives one sentence with the cure."""
    answer = run(clone, "exchange", PYTHONPATH=lacking(clone, "ensurepip", "pip"))
    assert answer.returncode == 1
    assert "apt install python3-venv" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_python_without_ensurepip_uses_its_own_pip(clone: Path) -> None:
    """Debian's Python lacks ensurepip; its pip fills an environment that has none."""
    answer = run(clone, "exchange", PYTHONPATH=lacking(clone, "ensurepip"))
    assert answer.returncode == 7
    assert not list((clone / ".venv").rglob("pip"))


def lacking(folder: Path, *modules: str) -> str:
    """Return a PYTHONPATH with which dev.py does not find `modules`."""
    text = BARE_PYTHON.replace("LACKING", repr(modules))
    (folder / "sitecustomize.py").write_text(text, encoding="utf-8")
    return str(folder)


@pytest.mark.parametrize(("arguments", "code"), [([], 2), (["deploy"], 2), (["--help"], 0)])
def test_usage_names_every_command(
    arguments: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing or unknown command, and a call for help, show what there is."""
    assert dev.main(arguments) == code
    shown = capsys.readouterr()
    assert all(command in shown.out + shown.err for command in ("demo", "exchange", "test"))


@pytest.mark.skipif(os.name == "nt", reason="the checks of a server are started by a shell")
def test_ci_runs_the_command_of_the_readme(clone: Path) -> None:
    """It is `dev.py test` after two more, as a deaf background job without input too."""
    shutil.copytree(ROOT / ".ci", clone / ".ci")
    says = "import sys; print(sys.argv[1:], repr(sys.stdin.read()), flush=True); sys.exit(7)"
    (clone / "dev.py").write_text(says, encoding="utf-8")
    started = "trap '' INT; ./.ci/run <&- & wait $!"
    answer = subprocess.run(
        ["bash", "-c", started], cwd=clone, capture_output=True, text=True, check=False
    )
    setup, ends, test = answer.stdout.splitlines()
    assert ends.startswith("['ends', 'tests/test_")
    assert "'tests/krakenlink', 'tests/ttslo_app/orders'" in ends
    assert (setup, test, answer.stderr) == ("['setup'] ''", "['test'] ''", "")
    assert answer.returncode == 7
    assert "python3 dev.py test\n" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(os.name == "nt", reason="the Pythons that it finds are scripts of a shell")
@pytest.mark.parametrize("code", [0, 3])
def test_other_pythons_run_the_tests_of_all_rooms(clone: Path, tmp_path: Path, code: int) -> None:
    """A Python that pyenv keeps is used, one that is not here is named, and a failure counts."""
    give_venv(clone)
    for folder in ("tests/rooms", "tests/whole/callers", "tests/kits"):
        (clone / folder).mkdir(parents=True)
    for name in (
        "tests/test_door.py",
        "tests/whole/callers/test_contract.py",
        "tests/whole/callers/test_slow.py",
    ):
        (clone / name).touch()
    shim, kept = tmp_path / "bin/python3.12", tmp_path / "pyenv/versions/3.12.4/bin/python3.12"
    for path, text in (
        (shim, "#!/bin/sh\necho not found; exit 127\n"),
        (kept, OTHER_PYTHON.replace("CODE", str(code))),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
    folders = os.pathsep.join([str(shim.parent), "/usr/bin", "/bin"])
    answer = run(
        clone, "pythons", PATH=folders, HOME=str(tmp_path), PYENV_ROOT=str(kept.parents[3])
    )
    assert "not run, because it is not here: Python 3.99" in answer.stdout
    assert f"tests on Python 3.12: {kept}" in answer.stdout
    rooms = "tests/rooms tests/test_door.py tests/whole/callers/test_contract.py"
    assert f"pytest -m pytest -q {' '.join(dev.ROOMS_SIDE_BY_SIDE)} {rooms}\n" in answer.stdout
    assert answer.returncode == (1 if code else 0)
    assert ("failed on Python 3.12" in answer.stderr) is bool(code)


def give_pythons(folder: Path, *versions: str, making: str = "mkdir") -> dict[str, str]:
    """Have pyenv keep Pythons of `versions`, and return the variables with which it is found."""
    for version in versions:
        kept = folder / f"versions/{version}.4/bin/python{version}"
        kept.parent.mkdir(parents=True)
        text = OTHER_PYTHON.replace("3.12", version).replace("mkdir", making)
        kept.write_text(text.replace("CODE", "0").replace("VERSION", version), encoding="utf-8")
        kept.chmod(0o755)
    return {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYENV_ROOT": str(folder)}


@pytest.mark.skipif(os.name == "nt", reason="the Pythons that it finds are scripts of a shell")
def test_what_lies_between_two_pythons_runs_the_tests_of_the_doors(
    clone: Path, tmp_path: Path
) -> None:
    """What is asked for is run on the oldest and on the newest."""
    give_venv(clone)
    (clone / "tests/whole/callers").mkdir(parents=True)
    for name in ("tests/test_door.py", "tests/whole/callers/test_contract.py"):
        (clone / name).touch()
    text = PROJECT.replace('3.12",', '3.12",\n  "Programming Language :: Python :: 3.98",')
    (clone / "pyproject.toml").write_text(text, encoding="utf-8")
    found = give_pythons(tmp_path, "3.12", "3.98", "3.99")
    answer = run(clone, "ends", "tests/rooms", **found)
    ran = [line.rpartition("worksteal ")[2] for line in answer.stdout.splitlines()[1::2]]
    doors = "tests/test_door.py tests/whole/callers/test_contract.py"
    assert ran == ["tests/rooms", doors, "tests/rooms"]
    assert answer.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="the Pythons that it finds are scripts of a shell")
def test_all_environments_are_made_at_the_same_time(clone: Path, tmp_path: Path) -> None:
    """Each of these waits for the other one, and none of them is made again."""
    give_venv(clone)
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    waits = (
        f"touch {meeting}/VERSION && for n in $(seq 600); do"
        f' [ "$(ls {meeting} | wc -l)" = 2 ] && break; sleep 0.1; [ $n != 600 ]; done && mkdir'
    )
    found = give_pythons(tmp_path, "3.12", "3.99", making=waits)
    first, second = run(clone, "setup", **found), run(clone, "pythons", "tests", **found)
    assert first.stderr.count("dev.py: making") == 2
    assert "making" not in second.stderr
    assert (first.returncode, second.returncode) == (0, 0)


@pytest.mark.skipif(os.name == "nt", reason="the Pythons are scripts of a shell")
def test_pip_of_the_environment_is_renewed_and_fills_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where no newer one can be had, the old one will do."""
    monkeypatch.setattr(dev, "VENV", tmp_path / ".venv")
    maker, ran = tmp_path / "python", tmp_path / "ran"
    text = OTHER_PYTHON.replace("echo False", "echo True").replace('"$5', '"$4')
    pips = f'*"-m pip"*) echo "$*" >{ran}; exit 1 ;;\nesac'
    maker.write_text(text.replace("esac", pips), encoding="utf-8")
    maker.chmod(0o755)
    dev.make_venv(dev.VENV, str(maker))
    assert ran.read_text(encoding="utf-8").endswith(" --upgrade pip\n")
    bare = tmp_path / "bare"
    bare.write_text(OTHER_PYTHON, encoding="utf-8")
    bare.chmod(0o755)
    assert dev.pip_for(str(maker)) == [str(maker), "-m", "pip"]
    assert dev.pip_for(str(bare)) == [
        *(str(tmp_path / ".venv/bin/python"), "-m", "pip", "--python", str(bare))
    ]


@pytest.mark.skipif(os.name == "nt", reason="the Pythons that it finds are scripts of a shell")
def test_python_without_its_packages_is_named_and_left_out(clone: Path, tmp_path: Path) -> None:
    """A Python that nothing can be installed for fails nobody's checks."""
    give_venv(clone)
    answer = run(clone, "pythons", **give_pythons(tmp_path, "3.12", making="false"))
    kept = tmp_path / "versions/3.12.4/bin/python3.12"
    assert f"not run: Python 3.12: {kept} could not make" in answer.stderr
    assert answer.returncode == 0


@pytest.mark.skipif(os.name == "nt", reason="the Pythons that it finds are scripts of a shell")
def test_ctrl_c_while_the_tests_are_read_ends_it(clone: Path, tmp_path: Path) -> None:
    """It has reached that reading as well, and none of the tests begins after it."""
    give_venv(clone)
    kept = tmp_path / "versions/3.12.4/bin/python3.12"
    kept.parent.mkdir(parents=True)
    pressed = OTHER_PYTHON.replace("case", '[ "$3" = --collect-only ] && kill -INT $PPID\ncase', 1)
    kept.write_text(pressed.replace("CODE", "0"), encoding="utf-8")
    kept.chmod(0o755)
    answer = run(
        clone, "pythons", PATH="/usr/bin:/bin", HOME=str(tmp_path), PYENV_ROOT=str(tmp_path)
    )
    assert f"tests on Python 3.12: {kept}" in answer.stdout
    assert "pytest -m pytest" not in answer.stdout
    assert answer.returncode == 130


def test_python_that_runs_the_tests_is_not_asked_again(clone: Path) -> None:
    """`dev.py test` has run everything on it."""
    give_venv(clone)
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    text = PROJECT.replace("3.12", ours)
    (clone / "pyproject.toml").write_text(text, encoding="utf-8")
    answer = run(clone, "pythons")
    assert "tests on" not in answer.stdout
    assert ours not in answer.stdout.replace("3.99", "")
    assert answer.returncode == 0


def test_every_python_of_the_package_is_looked_for() -> None:
    """The classifiers are the list."""
    assert dev.supported() == ["3.11", "3.12", "3.13", "3.14"]


def test_every_door_has_a_stub_that_is_held_against_it() -> None:
    """A single file cannot say of itself that it is typed, so a stub says it for each."""
    assert set(dev.stubs()) == {path.stem for path in ROOT.glob("*.py")} - {"dev"}


def test_requirements_follow_an_extra_into_another() -> None:
    """The developers' list holds the base libraries, the demo's and its own, and not itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = dev.requirements("dev")
    assert set(found) > {*project["dependencies"], *project["optional-dependencies"]["demo"]}
    assert not [requirement for requirement in found if requirement.startswith("ttslo")]

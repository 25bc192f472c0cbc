"""Wheel and source distribution: what somebody gets who does not clone TTSLO."""

import ast
import email.message
import email.parser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

import krakenlink
import ttslo
from tests.kits.common.fresh_python import complaints

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("fake_kraken", "krakenlink", "ttslo_app")
BUILD = "import sys; from setuptools import build_meta as b; b.build_{}(sys.argv[1])"
# What is quick, and needs files of every kind: code, documents, stubs, and the tests themselves.
QUICK_TESTS = "test_numbers.py or test_documents.py"


def files_of_the_project() -> set[str]:
    """Return the paths of what is kept in the repository; without one, of all that is here."""
    if not (ROOT / ".git").exists():
        paths = (path for path in ROOT.rglob("*") if path.is_file())
        names = {path.relative_to(ROOT).as_posix() for path in paths}
        return {
            n
            for n in names
            if "egg-info/" not in n
            and "__pycache__/" not in n
            and n not in ("PKG-INFO", "setup.cfg")
        }
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.split("\0") if (ROOT / name).is_file()}


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a wheel or an sdist with the setuptools at hand: nothing is fetched."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind), str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the source distribution, from a copy as a build litters its folder, and unpack it."""
    source = tmp_path_factory.mktemp("source")
    for name in files_of_the_project():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    built = build("sdist", source, tmp_path_factory.mktemp("sdist"))
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(built) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.iterdir()
    return folder


@pytest.fixture(scope="module")
def wheel(unpacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from the source distribution, as those do who have no other."""
    source = tmp_path_factory.mktemp("copy") / "source"
    shutil.copytree(unpacked, source)
    return build("wheel", source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Put the wheel's modules into a folder, with the command that its entry point stands for."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    (folder / "ttslo-command").mkdir()
    command = "import sys\nfrom ttslo import main\nsys.exit(main())\n"
    (folder / "ttslo-command" / "ttslo").write_text(command, encoding="utf-8")
    return folder


def read(wheel: Path, name: str) -> str:
    """Return the text of the one file of `wheel` whose path ends with `name`."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (path for path in archive.namelist() if path.endswith(name))
        return archive.read(path).decode("utf-8")


def metadata(wheel: Path) -> email.message.Message:
    """Return what the wheel says of itself."""
    return email.parser.Parser().parsestr(read(wheel, ".dist-info/METADATA"))


DOORS = {path.stem for path in ROOT.glob("*.py")} - {"dev"}
# What a caller may write, and what a type checker must not let pass.
CALLER = """\
import config, creds, kraken_api, ttslo, validator, ws_price_provider

creds.load_env(".env")
creds.load_env(5)  # wrong
key: str | None = creds.find_kraken_credentials(readwrite=True)[0]
number: int = creds.find_kraken_credentials()[0]  # wrong

manager = config.ConfigManager("config.csv", "state.csv", "logs.csv")
manager.log("INFO", "hello", pair="BTC/USD")
manager.log("INFO")  # wrong
manager.no_such_method()  # wrong

result = validator.ConfigValidator(None).validate_config_file(manager.load_config())
text: str = validator.format_validation_result(result, verbose=True)
validator.format_validation_result("text")  # wrong
errors: list[int] = result.errors  # wrong

api = kraken_api.KrakenAPI.from_env(env_file=".env", use_websocket=False)
price: float = api.get_current_price("BTC/USD")
api.add_trailing_stop_loss(pair="BTC/USD", direction="sell", volume="1", trailing_offset_percent=5)
api.add_trailing_stop_loss("BTC/USD", "sell")  # wrong
api.get_quote("BTC/USD").price.no_such_method()  # wrong
answer: int = api.get_balance()  # wrong
kraken_api.KrakenAPI(ws_timeout="2")  # wrong

provider = ws_price_provider.WebSocketPriceProvider.shared()
last: float | None = provider.get_current_price("BTC/USD")
provider.subscribe(5)  # wrong
state: int = provider.health().state  # wrong
stream: kraken_api.WebSocketPriceProvider | None = api.price_provider()

program = ttslo.TTSLO(manager, api, dry_run=True)
txid: str | None = program.create_tsl_order({"id": "a"}, 50000)
code: int = ttslo.main(["--once", "--dry-run"])
ttslo.TTSLO(manager, api, dryrun=True)  # wrong
program.run_continuous("often")  # wrong
cells: int = program.state["a"]  # wrong
"""


def test_every_package_is_named() -> None:
    """A build takes one that is not for mere data, and setuptools means to leave it out one day."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    tools = tomllib.loads(text)["tool"]["setuptools"]
    folders = {path.parent for name in PACKAGES for path in (ROOT / name).rglob("__init__.py")}
    ours = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    assert sorted(tools["packages"]) == sorted(ours | set(tools["package-dir"]))


def test_wheel_holds_exactly_the_modules(wheel: Path) -> None:
    """Every door and room is in the wheel with its types; tests and developer's tools are not."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    doors = {f"{door}.py" for door in DOORS}
    types = {f"{name}/py.typed" for name in PACKAGES} | {
        f"{path.parent.name}-stubs/__init__.pyi" for path in ROOT.glob("stubs/*/__init__.pyi")
    }
    rooms = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*.py")
    }
    page = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "ttslo_app/face/web").iterdir()
        if path.suffix in (".html", ".css", ".js", ".svg")
    }
    assert len(page) >= 6
    assert inside == doors | rooms | types | page


def test_caller_of_an_installed_wheel_is_checked_against_real_types(
    wheel: Path, tmp_path: Path
) -> None:
    """A strict mypy finds each wrong call of a caller, no other, and misses no types."""
    venv.create(tmp_path / "env", with_pip=False)
    (python,) = [*tmp_path.glob("env/bin/python"), *tmp_path.glob("env/Scripts/python.exe")]
    question = "import sysconfig; print(sysconfig.get_path('purelib'))"
    home = subprocess.run([python, "-c", question], capture_output=True, text=True, check=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(home.stdout.strip())
    (tmp_path / "caller.py").write_text(CALLER, encoding="utf-8")
    checked = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--no-error-summary",
                "--hide-error-context",
            ),
            *("--python-executable", str(python), "--cache-dir", str(tmp_path / "cache")),
            "caller.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {int(line.split(":")[1]) for line in checked.stdout.splitlines() if ": error:" in line}
    wrong = {n for n, line in enumerate(CALLER.splitlines(), 1) if line.endswith("# wrong")}
    assert found == wrong, checked.stdout + checked.stderr


@pytest.mark.parametrize("how", ["command", "module"])
def test_installed_program_runs_no_file_of_the_working_folder(
    installed: Path, tmp_path: Path, how: str
) -> None:
    """Somebody's own `config.py` lies beside the rules, and is neither run nor missed."""
    for name in ("config", "validator", "creds", "krakenlink", "requests"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('another file ran')\n", "utf-8")
    # What pip makes of the entry point lies in a folder of its own, which comes first.
    command = {"command": [str(installed / "ttslo-command" / "ttslo")], "module": ["-m", "ttslo"]}
    done = subprocess.run(
        [sys.executable, *command[how], "--create-sample-config"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
    assert (tmp_path / "config_sample.csv").exists()


def test_wheel_installs_the_ttslo_command(wheel: Path) -> None:
    """The one command is `ttslo`, and it calls `main` of `ttslo.py`."""
    lines = read(wheel, ".dist-info/entry_points.txt").split("\n")
    assert [line for line in lines if line] == ["[console_scripts]", "ttslo = ttslo:main"]


def test_wheel_carries_its_licence(wheel: Path) -> None:
    """The text of the licence is inside, and its name is in the metadata."""
    assert read(wheel, ".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")
    assert metadata(wheel)["License-Expression"] == "MIT"


def test_wheel_has_the_version_that_the_program_tells(wheel: Path) -> None:
    """The number is written down once, and the changelog begins with it."""
    assert metadata(wheel)["Version"] == krakenlink.VERSION == ttslo.__version__
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert changes.partition("\n## [")[2].startswith(f"{krakenlink.VERSION}]")


def test_wheel_runs_on_any_platform(wheel: Path) -> None:
    """There is one wheel for every platform, and it asks for the Python that the code needs."""
    assert wheel.name.endswith("-py3-none-any.whl")
    assert metadata(wheel)["Requires-Python"] == ">=3.11"


def test_base_install_needs_few_libraries(wheel: Path) -> None:
    """Neither the demo's nor the developers' libraries come with a plain install."""
    needs = [need for need in metadata(wheel).get_all("Requires-Dist", []) if "extra" not in need]
    names = {need.partition(">")[0] for need in needs}
    streamed = {"msgspec", "websocket-client"}
    assert names == {"filelock", "platformdirs", "requests", "urllib3", *streamed}


def test_wheel_says_who_made_it_and_for_which_pythons(wheel: Path) -> None:
    """Authors, keywords, and each Python on which the tests are run where it is found."""
    told = metadata(wheel)
    assert told["Author"] == told["Maintainer"] == "TTSLO contributors"
    assert told["Keywords"]
    said = told.get_all("Classifier", [])
    assert [line for line in said if " 3." in line] == [
        f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)
    ]
    assert "Typing :: Typed" in said


def test_description_leads_nowhere_that_an_installation_lacks(wheel: Path) -> None:
    """It is PACKAGE.md, without a link into a clone, and every call in it is right."""
    told = metadata(wheel)
    text = (ROOT / "PACKAGE.md").read_text("utf-8")
    assert told["Description-Content-Type"] == "text/markdown"
    assert text.strip() in read(wheel, ".dist-info/METADATA")
    assert re.findall(r"\]\((?!https:)", text) == []
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    ast.parse(code)
    assert set(re.findall(r"ttslo\[(\w+)\]", text)) < set(told.get_all("Provides-Extra", []))
    flags = set(re.findall(r"ttslo (--[a-z-]+)", text))
    with pytest.raises(SystemExit), redirect_stdout(StringIO()) as screen:
        ttslo.main(["--help"])
    assert flags
    assert [flag for flag in flags if flag not in screen.getvalue()] == []


def test_source_distribution_is_the_whole_project(unpacked: Path) -> None:
    """Nothing that is kept in the repository is missing, and nothing of a build lies in it."""
    inside = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    made = {name for name in inside if name.startswith("ttslo.egg-info/")}
    assert inside - made - {"PKG-INFO", "setup.cfg"} == files_of_the_project()


def test_source_distribution_tests_itself(unpacked: Path) -> None:
    """Its tests are found, and a quick part of them passes, in a folder of its own.

    It holds the same files as the project, so those tests alone are imported that look at what
    lies outside their own folder, and one that does not.
    """
    texts = {path: path.read_text(encoding="utf-8") for path in unpacked.rglob("test_*.py")}
    looking = sorted(path for path, text in texts.items() if "parents[" in text)
    assert len(looking) > 10
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", QUICK_TESTS]
    command.append("--assert=plain")  # nothing is read twice here
    command += [str(path) for path in (*looking, unpacked / "tests/krakenlink/test_numbers.py")]
    done = subprocess.run(command, cwd=unpacked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert " passed" in done.stdout

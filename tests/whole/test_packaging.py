"""The wheel: what somebody gets who installs TTSLO instead of cloning it."""

import email.message
import email.parser
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import krakenlink
import ttslo

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("fake_kraken", "krakenlink", "ttslo_app")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the setuptools at hand, from a copy: a build litters its folder."""
    source = tmp_path_factory.mktemp("source")
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "pyproject.toml"]:
        shutil.copy(path, source)
    for folder in (*PACKAGES, "stubs"):
        shutil.copytree(ROOT / folder, source / folder)
    target = tmp_path_factory.mktemp("wheel")
    build = subprocess.run(
        [sys.executable, "-c", BUILD, str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    (built,) = target.glob("*.whl")
    return built


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
    assert inside == doors | rooms | types


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


def test_base_install_needs_five_libraries(wheel: Path) -> None:
    """Neither the demo's nor the developers' libraries come with a plain install."""
    needs = [need for need in metadata(wheel).get_all("Requires-Dist", []) if "extra" not in need]
    names = {need.partition(">")[0] for need in needs}
    assert names == {"filelock", "msgspec", "platformdirs", "requests", "websocket-client"}


def test_wheel_shows_the_readme(wheel: Path) -> None:
    """The description is README.md itself."""
    assert metadata(wheel)["Description-Content-Type"] == "text/markdown"
    assert (ROOT / "README.md").read_text("utf-8").strip() in read(wheel, ".dist-info/METADATA")

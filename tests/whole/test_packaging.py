"""The wheel: what somebody gets who installs TTSLO instead of cloning it."""

import email.message
import email.parser
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("fake_kraken", "krakenlink", "ttslo_app")
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel with the setuptools at hand, from a copy: a build litters its folder."""
    source = tmp_path_factory.mktemp("source")
    for path in [*ROOT.glob("*.py"), *ROOT.glob("*.md"), ROOT / "LICENSE", ROOT / "pyproject.toml"]:
        shutil.copy(path, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package)
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


def test_wheel_holds_exactly_the_modules(wheel: Path) -> None:
    """Every door and every room is in the wheel, and neither tests nor developer's tools are."""
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    doors = {path.name for path in ROOT.glob("*.py")} - {"dev.py"}
    rooms = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*.py")
    }
    assert inside == doors | rooms


def test_wheel_installs_the_ttslo_command(wheel: Path) -> None:
    """The one command is `ttslo`, and it calls `main` of `ttslo.py`."""
    lines = read(wheel, ".dist-info/entry_points.txt").split("\n")
    assert [line for line in lines if line] == ["[console_scripts]", "ttslo = ttslo:main"]


def test_wheel_carries_its_licence(wheel: Path) -> None:
    """The text of the licence is inside, and its name is in the metadata."""
    assert read(wheel, ".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text("utf-8")
    assert metadata(wheel)["License-Expression"] == "MIT"


def test_wheel_runs_on_any_platform(wheel: Path) -> None:
    """There is one wheel for every platform, and it asks for the Python that the code needs."""
    assert wheel.name.endswith("-py3-none-any.whl")
    assert metadata(wheel)["Requires-Python"] == ">=3.11"


def test_base_install_needs_four_libraries(wheel: Path) -> None:
    """Neither the demo's nor the developers' libraries come with a plain install."""
    needs = [need for need in metadata(wheel).get_all("Requires-Dist", []) if "extra" not in need]
    names = {need.partition(">")[0] for need in needs}
    assert names == {"filelock", "platformdirs", "requests", "websocket-client"}


def test_wheel_shows_the_readme(wheel: Path) -> None:
    """The description is README.md itself."""
    assert metadata(wheel)["Description-Content-Type"] == "text/markdown"
    assert (ROOT / "README.md").read_text("utf-8").strip() in read(wheel, ".dist-info/METADATA")

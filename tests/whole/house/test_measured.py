"""What coverage sees of a run of tests: all that is ours, and nothing of pytest."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CONFTEST = """\
import sys

import pytest

from tests.kits.common.measured import Measured


def pytest_configure(config):
    config.pluginmanager.register(Measured(config.pluginmanager.getplugin("_cov")))


def pytest_runtest_logreport(report):
    assert sys.gettrace() is None, "pytest's own work is measured"


@pytest.fixture
def ready():
    import room

    return room.of_a_fixture()
"""
ROOM = """\
import threading
import time

GO = threading.Event()


def of_a_fixture():
    thread = threading.Thread(target=of_a_thread)
    thread.start()
    return thread


def of_a_thread():
    GO.wait()
    return "by a thread that a fixture has begun"


def of_a_test():
    return "by a test"


def of_one_that_is_left_out():
    return "by nobody who looks"
"""
TESTS = """\
import pytest

import room


@pytest.mark.no_cover
def test_left_out():
    room.of_one_that_is_left_out()


def test_in_sight(ready):
    room.of_a_test()
    room.GO.set()
    ready.join()
"""


def test_imports_fixtures_tests_and_threads_are_measured_alone(tmp_path: Path) -> None:
    """Also after a test that is left out, behind which measuring begins anew."""
    (tmp_path / "folder").mkdir()
    files = {"conftest": CONFTEST, "room": ROOM, "other": "OTHER = 1\n",
             "folder/conftest": "import other\n", "folder/test_room": TESTS}  # fmt: skip
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    command = (
        "-m pytest -q -p no:cacheprovider -p no:xdist --cov=room --cov=other "
        "--cov-report=term-missing"
    )
    answer = subprocess.run(
        [sys.executable, *command.split(), "-o", f"pythonpath={ROOT}"],
        cwd=tmp_path,
        # What a developer adds to every run of pytest is not meant for this one.
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    only_the_one_left_out = str(ROOM.splitlines().index('    return "by nobody who looks"') + 1)
    rows = (line.split() for line in answer.stdout.splitlines())
    missed = {row[0]: row[4:] for row in rows if row and row[0] in ("room.py", "other.py")}
    assert missed == {"room.py": [only_the_one_left_out], "other.py": []}

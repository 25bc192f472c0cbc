"""The sizes of the house: what a person can hold in mind at once, and a test beside each room."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("fake_kraken", "krakenlink", "ttslo_app")

MOST_FILE_LINES = 450
MOST_CLASS_LINES = 350
MOST_FUNCTION_LINES = 40
MOST_PARAMETERS = 8
# Of constructors that are written; what a record holds (a dataclass, a named tuple) is named one by
# one. What earlier callers pass to these is not ours to change.
CONTRACT_CONSTRUCTORS = frozenset({"KrakenAPI", "TTSLO"})
# The average room: smaller ones are crumbs to get lost between, larger ones hide too much.
AVERAGE_LINES = (200, 300)


def source_files() -> list[Path]:
    """Return the doors and the rooms behind them, as paths below the root."""
    doors = ROOT.glob("*.py")
    rooms = (path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    return sorted(path.relative_to(ROOT) for path in (*doors, *rooms))


SOURCES = source_files()
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
# What only names a package, or only starts it, is no room.
ROOMS = [path for path in SOURCES if path.name not in ("__init__.py", "__main__.py")]


def oversized(source: str) -> Iterator[str]:
    """Yield what is too large in the text of a file, each with its line."""
    count = len(source.splitlines())
    if count > MOST_FILE_LINES:
        yield f"the file has {count} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            if lines_of(node) > MOST_CLASS_LINES:
                yield f"line {node.lineno}: class {node.name} has {lines_of(node)} lines"
            yield from crowded_constructors(node)
        elif isinstance(node, FUNCTIONS) and lines_of(node) > MOST_FUNCTION_LINES:
            yield f"line {node.lineno}: {node.name} has {lines_of(node)} lines"


def crowded_constructors(owner: ast.ClassDef) -> Iterator[str]:
    """Yield the constructor of a class where it takes too much, `self` aside."""
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            every = node.args
            count = len([*every.posonlyargs, *every.args, *every.kwonlyargs]) - 1
            if count > MOST_PARAMETERS and owner.name not in CONTRACT_CONSTRUCTORS:
                yield f"line {node.lineno}: {owner.name} is made from {count} arguments"


def lines_of(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many lines a definition has, its decorators aside."""
    return (node.end_lineno or node.lineno) - node.lineno + 1


def home_of_tests(path: Path) -> Path:
    """Return where the tests of a source file are."""
    folder = Path("tests") / path.parent
    # The tool of developers is not installed, and neither is anything else of the whole.
    folder = Path("tests/whole/house") if path.stem == "dev" else folder
    return folder / f"test_{path.stem.strip('_')}.py"


def test_nothing_in_any_file_is_too_large() -> None:
    """Files, classes, functions and constructors stay within what can be read at once."""
    assert [
        f"{path}: {found}"
        for path in SOURCES
        for found in oversized((ROOT / path).read_text(encoding="utf-8"))
    ] == []


def test_house_has_neither_too_few_nor_too_many_rooms() -> None:
    """A new room has something to tell, however large the house has become."""
    lines = sum(len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in ROOMS)
    fewest, most = AVERAGE_LINES
    assert fewest <= lines / len(ROOMS) <= most, (lines, len(ROOMS))


def test_every_room_has_a_test_file_of_its_own() -> None:
    """Whoever changes a file knows where its tests are."""
    homes = map(home_of_tests, ROOMS)
    assert {home.as_posix() for home in homes if not (ROOT / home).is_file()} == set()


def test_tests_of_rooms_that_have_gone_are_gone_too() -> None:
    """A test file beside no room, the tests of the whole aside, is a left-over.

    A room may have more than one: `test_ROOM_SUBJECT.py`.
    """
    known = tuple(str(home_of_tests(path).with_suffix("")) for path in SOURCES)
    found = (path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))
    stems = (str(path.with_suffix("")) for path in found if path.parts[1] != "whole")
    assert {s for s in stems if s not in known and not is_part_of(s, known)} == set()


def is_part_of(stem: str, known: tuple[str, ...]) -> bool:
    """Tell whether a test file is one of several of a room."""
    return any(stem.startswith(f"{room}_") for room in known)


@pytest.mark.parametrize("name", ["whole", "kits"])
def test_house_tells_of_every_folder_of_tests_and_kits(name: str) -> None:
    """Each is in the tables once, and no file lies beside them, where nobody would look for it."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    told = re.findall(rf"^\| `tests/{name}/(\w+)` \| .+ \|$", text, re.MULTILINE)
    folder = ROOT / "tests" / name
    assert list(folder.glob("*.py")) == []
    assert sorted(told) == sorted({path.parent.name for path in folder.glob("*/*.py")})


LONG = "    pass\n"


@pytest.mark.parametrize(
    "source",
    [
        "\n" * (MOST_FILE_LINES + 1),
        f"class A:\n{LONG * MOST_CLASS_LINES}",
        f"def f():\n{LONG * MOST_FUNCTION_LINES}",
        f"async def f():\n{LONG * MOST_FUNCTION_LINES}",
        f"class A:\n    def __init__(self, a, b, c, d, /, e, f, g, *, h, i):\n    {LONG}",
    ],
)
def test_measures_find_what_they_look_for(source: str) -> None:
    """One line or one argument too many is seen."""
    assert len(list(oversized(source))) == 1


@pytest.mark.parametrize(
    "source",
    [
        "\n" * MOST_FILE_LINES,
        f"class A:\n{LONG * (MOST_CLASS_LINES - 1)}",
        f"def f():\n{LONG * (MOST_FUNCTION_LINES - 1)}",
        f"class A:\n    def __init__(self, a, b, c, d, /, e, f, g, *, h):\n    {LONG}",
        f"class KrakenAPI:\n    def __init__(self, a, b, c, d, e, f, g, h, i):\n    {LONG}",
    ],
)
def test_measures_leave_the_largest_alone(source: str) -> None:
    """The limits themselves are fine, and so is what callers rely on."""
    assert list(oversized(source)) == []

"""The architecture as a table: who may import whom, and which modules stay pure."""

import ast
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(path.stem for path in ROOT.glob("*.py"))

APPLICATION = frozenset(
    {
        "config",
        "config_csv",
        "creds",
        "kraken_api",
        "kraken_audit",
        "kraken_errors",
        "kraken_http",
        "kraken_listing",
        "kraken_local",
        "kraken_numbers",
        "kraken_pairs",
        "kraken_rest",
        "ttslo_exchange",
        "ttslo_intents",
        "ttslo_line",
        "ttslo_live",
        "ttslo_lookback",
        "ttslo_metrics",
        "ttslo_orders",
        "ttslo_rules",
        "ttslo_tape",
        "ttslo_triggers",
        "ttslo_voice",
        "ttslo_watch",
        "ttslo_worker",
        "validator",
        "ws_audit",
        "ws_budget",
        "ws_connection",
        "ws_price_provider",
        "ws_protocol",
    }
)

# Each module, and the modules of ours that it may import. A new module gets a line here first.
ARROWS: dict[str, frozenset[str]] = {
    "config": frozenset({"config_csv", "ttslo_rules"}),
    "config_csv": frozenset(),
    "creds": frozenset(),
    "dev": frozenset(),
    # A stand-in that shared code with the client would share its mistakes too.
    "fake_kraken": frozenset({"fake_kraken_book"}),
    "fake_kraken_book": frozenset(),
    "kraken_api": frozenset(
        {
            "creds",
            "kraken_audit",
            "kraken_errors",
            "kraken_http",
            "kraken_listing",
            "kraken_local",
            "kraken_numbers",
            "kraken_pairs",
            "kraken_rest",
            "ws_price_provider",
            "ws_protocol",
        }
    ),
    "kraken_audit": frozenset({"kraken_errors", "ws_audit", "ws_price_provider", "ws_protocol"}),
    "kraken_errors": frozenset(),
    "kraken_http": frozenset({"kraken_errors", "kraken_rest"}),
    # It is handed its way to Kraken and its file, so it needs neither the wire nor the stream.
    "kraken_listing": frozenset({"kraken_errors", "kraken_pairs", "kraken_rest"}),
    "kraken_local": frozenset(),
    "kraken_numbers": frozenset(),
    "kraken_pairs": frozenset(),
    "kraken_rest": frozenset({"kraken_errors", "kraken_numbers"}),
    "ttslo": APPLICATION | {"ttslo_demo"},
    "ttslo_demo": APPLICATION | {"fake_kraken", "ttslo"},
    "ttslo_exchange": frozenset(
        {
            "kraken_api",
            "kraken_errors",
            "kraken_numbers",
            "kraken_pairs",
            "kraken_rest",
            "ttslo_orders",
        }
    ),
    "ttslo_live": frozenset(
        {
            "kraken_errors",
            "kraken_numbers",
            "kraken_rest",
            "ttslo_exchange",
            "ttslo_lookback",
            "ttslo_orders",
            "ttslo_rules",
            "ttslo_tape",
            "ttslo_watch",
            "ttslo_worker",
            "ws_price_provider",
            "ws_protocol",
        }
    ),
    "ttslo_intents": frozenset({"config", "ttslo_orders"}),
    "ttslo_line": frozenset({"kraken_rest"}),
    "ttslo_lookback": frozenset({"kraken_errors", "ttslo_orders", "ttslo_tape"}),
    "ttslo_metrics": frozenset({"ws_price_provider", "ws_protocol"}),
    "ttslo_orders": frozenset({"kraken_errors", "kraken_numbers", "kraken_rest", "ttslo_rules"}),
    "ttslo_rules": frozenset({"kraken_numbers"}),
    "ttslo_tape": frozenset({"kraken_errors", "kraken_numbers", "ttslo_rules", "ws_protocol"}),
    "ttslo_triggers": frozenset({"ttslo_rules"}),
    "ttslo_voice": frozenset(),
    "ttslo_watch": frozenset(
        {
            "kraken_numbers",
            "ttslo_lookback",
            "ttslo_orders",
            "ttslo_rules",
            "ttslo_tape",
            "ttslo_triggers",
            "ttslo_worker",
            "ws_protocol",
        }
    ),
    "ttslo_worker": frozenset(
        {
            "kraken_errors",
            "kraken_numbers",
            "kraken_rest",
            "ttslo_line",
            "ttslo_orders",
            "ttslo_rules",
        }
    ),
    "validator": frozenset({"kraken_errors", "kraken_numbers", "kraken_pairs", "ttslo_rules"}),
    "ws_audit": frozenset({"kraken_numbers"}),
    "ws_budget": frozenset({"kraken_local", "ws_protocol"}),
    "ws_connection": frozenset({"kraken_errors", "kraken_local", "ws_protocol"}),
    "ws_price_provider": frozenset(
        {
            "kraken_errors",
            "kraken_local",
            "kraken_pairs",
            "ws_budget",
            "ws_connection",
            "ws_protocol",
        }
    ),
    "ws_protocol": frozenset({"kraken_numbers", "kraken_pairs"}),
}

# The one cycle: the program starts the demo, and the demo runs the program.
CYCLE = frozenset({"ttslo", "ttslo_demo"})

PURE = frozenset(
    {
        "config_csv",
        "fake_kraken_book",
        "kraken_errors",
        "kraken_numbers",
        "kraken_pairs",
        "kraken_rest",
        "ttslo_line",
        "ttslo_orders",
        "ttslo_rules",
        "ttslo_tape",
        "ttslo_triggers",
        "ttslo_watch",
        "ws_audit",
        "ws_protocol",
    }
)

# Time, chance, and the world outside come into a pure module as arguments.
IMPURE_IMPORTS = frozenset(
    {
        *("asyncio", "concurrent", "http", "multiprocessing", "queue", "sched", "threading"),
        *("select", "selectors", "signal", "socket", "socketserver", "ssl", "urllib.request"),
        *("glob", "io", "os", "pathlib", "shutil", "subprocess", "tempfile"),
        *("logging", "random", "secrets", "time"),
    }
)
IMPURE_CALLS = frozenset(
    {
        *("datetime.now", "datetime.today", "datetime.utcnow", "date.today"),
        *("input", "open", "print", "uuid.getnode", "uuid.uuid1", "uuid.uuid4"),
    }
)

# Each library of others is met in one place; whoever replaces it looks nowhere else.
LIBRARIES: dict[str, frozenset[str]] = {
    "aiohttp": frozenset({"fake_kraken"}),
    "certifi": frozenset({"ws_connection"}),  # which requests brings along
    "filelock": frozenset({"config", "ws_budget"}),
    "pytest": frozenset({"fake_kraken"}),  # its fixture for the tests of others
    "platformdirs": frozenset({"kraken_local"}),
    "prometheus_client": frozenset({"ttslo_metrics"}),
    "requests": frozenset({"kraken_http"}),  # one wire to Kraken's REST
    "socks": frozenset({"ws_connection"}),  # REST meets it through requests
    "urllib3": frozenset({"kraken_http"}),  # what requests does not tell apart is told there
    "websocket": frozenset({"ws_connection"}),
}

TALKERS = frozenset({"dev", "fake_kraken", "ttslo", "ttslo_demo"})
TALK = frozenset(
    {
        *("print", "sys.stdout.write", "sys.stderr.write"),
        *("logging.basicConfig", "logging.config.dictConfig", "logging.config.fileConfig"),
        *("logging.disable", "logging.FileHandler", "logging.StreamHandler"),
    }
)

every_module = pytest.mark.parametrize("module", MODULES)


def tree_of(module: str) -> ast.Module:
    """Return the syntax tree of `module`."""
    return ast.parse((ROOT / f"{module}.py").read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything imported, inside functions too.

    `from urllib import request` counts as `urllib.request`.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: flat modules have no relative imports"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def top_names(tree: ast.AST) -> set[str]:
    """Return the first part of every imported name."""
    return {name.partition(".")[0] for name in imports_of(tree)}


def calls_of(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def impure_uses(tree: ast.AST) -> set[str]:
    """Return the imports and calls that a pure module must not have."""
    imports = {
        name
        for name in imports_of(tree)
        if any(f"{name}.".startswith(f"{impure}.") for impure in IMPURE_IMPORTS | IMPURE_CALLS)
    }
    calls = {call for call in calls_of(tree) if f".{call}".endswith(dotted(IMPURE_CALLS))}
    return imports | calls


def dotted(names: frozenset[str]) -> tuple[str, ...]:
    """Return `names` with a dot before each, to be compared with the ends of dotted names."""
    return tuple(f".{name}" for name in names)


def silent_handlers(tree: ast.AST) -> list[int]:
    """Return the lines that swallow an error: `except ...: pass`, bare or too wide silences."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if (isinstance(node, ast.ExceptHandler) and (node.type is None or is_empty(node.body)))
        or (isinstance(node, ast.Call) and is_wide_suppress(node))
    ]


def is_empty(body: list[ast.stmt]) -> bool:
    """Tell whether `body` does nothing at all."""
    return all(
        isinstance(node, ast.Pass)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in body
    )


def is_wide_suppress(call: ast.Call) -> bool:
    """Tell whether `call` is a `suppress` of every error there is."""
    name = ast.unparse(call.func)
    wide = {"Exception", "BaseException"} & {ast.unparse(argument) for argument in call.args}
    return name in {"suppress", "contextlib.suppress"} and bool(wide)


def listed_modules() -> set[str]:
    """Return the modules that pyproject.toml puts into the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return set(project["tool"]["setuptools"]["py-modules"])


@every_module
def test_module_has_its_line_in_the_table(module: str) -> None:
    """A module that the table does not know has no place in the architecture yet."""
    assert module in ARROWS


@every_module
def test_module_imports_only_what_its_arrows_allow(module: str) -> None:
    """No module of ours imports another one against the table."""
    ours = top_names(tree_of(module)) & (set(MODULES) | set(ARROWS))
    assert ours <= ARROWS.get(module, frozenset())


def test_arrows_have_no_other_cycle() -> None:
    """The table has an order in which every module stands after all that it imports."""
    waiting = {module: set(arrows) - CYCLE for module, arrows in ARROWS.items()}
    while ready := [module for module, arrows in waiting.items() if not arrows & set(waiting)]:
        for module in ready:
            del waiting[module]
    assert not waiting


@pytest.mark.parametrize("module", sorted(PURE & set(MODULES)))
def test_pure_module_touches_nothing_outside(module: str) -> None:
    """Pure modules read no clock, no chance, no file and no network, and log nothing."""
    assert not impure_uses(tree_of(module))


@every_module
def test_library_is_met_in_one_place(module: str) -> None:
    """A library of others is imported by the one module that stands for it, and by no other."""
    foreign = top_names(tree_of(module)) - sys.stdlib_module_names - set(MODULES) - set(ARROWS)
    assert {name for name in foreign if module not in LIBRARIES.get(name, ())} == set()


@pytest.mark.parametrize("module", sorted(set(MODULES) - TALKERS))
def test_library_module_neither_prints_nor_configures_logging(module: str) -> None:
    """Only programs speak to a person; a library leaves that to whoever uses it."""
    assert not {call for call in calls_of(tree_of(module)) if call in TALK}


@every_module
def test_module_swallows_no_error(module: str) -> None:
    """There is no bare `except`, none that only passes, and no silence over every error."""
    assert silent_handlers(tree_of(module)) == []


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"dev"}))
def test_module_is_in_the_wheel(module: str) -> None:
    """A flat module that pyproject.toml forgets would be missing after an install."""
    assert module in listed_modules()


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (impure_uses, "from urllib import request"),
        (impure_uses, "def f():\n    import time"),
        (impure_uses, "import datetime\ndatetime.datetime.now()"),
        (impure_uses, "open('x')"),
        (impure_uses, "import uuid\nuuid.uuid4()"),
        (impure_uses, "from uuid import uuid4"),
        (silent_handlers, "try:\n    f()\nexcept OSError:\n    pass"),
        (silent_handlers, "try:\n    f()\nexcept OSError:\n    ..."),
        (silent_handlers, "try:\n    f()\nexcept:\n    g()"),
        (silent_handlers, "with contextlib.suppress(Exception):\n    f()"),
    ],
)
def test_checks_find_what_they_look_for(check: Callable[[ast.AST], object], source: str) -> None:
    """Each offence is seen, wherever in a module it stands."""
    assert check(ast.parse(source))


@pytest.mark.parametrize(
    ("check", "source"),
    [
        (impure_uses, "from urllib.parse import urlencode\nurlencode({})"),
        (impure_uses, "from datetime import datetime\ndatetime.fromisoformat(x)"),
        (impure_uses, "import uuid\nuuid.uuid5(space, name)"),
        (silent_handlers, "try:\n    f()\nexcept OSError:\n    return None"),
        (silent_handlers, "with contextlib.suppress(FileNotFoundError):\n    f()"),
    ],
)
def test_checks_leave_the_honest_alone(check: Callable[[ast.AST], object], source: str) -> None:
    """What only resembles an offence is none."""
    assert not check(ast.parse(source))

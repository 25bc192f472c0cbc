"""The architecture as a table: who may import whom, and which modules stay pure."""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.kits.common.fresh_python import run_python

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("fake_kraken", "krakenlink", "ttslo_app")

# Each package or door, and what of ours it may import besides its own rooms.
MAY_USE: dict[str, set[str]] = {
    "krakenlink": set(),
    "creds": set(),
    "ws_price_provider": {"krakenlink"},
    "kraken_api": {"creds", "krakenlink", "ws_price_provider"},
    "ttslo_app": set(),
    # Bytes and cells, no orders: files are replaced, and things said once, as everywhere.
    "ttslo_app.columns": set(),
    "ttslo_app.store": {
        *("krakenlink.foreign", "krakenlink.machine", "krakenlink.once", "ttslo_app.columns"),
    },
    "ttslo_app.rules": {"krakenlink", "ttslo_app.columns"},
    "ttslo_app.clocks": {"ttslo_app.messages"},
    "ttslo_app.messages": {"krakenlink", "ttslo_app.rules"},
    "ttslo_app.environment": {"ttslo_app.messages"},
    "ttslo_app.terminal": {"krakenlink"},
    "ttslo_app.watch": {
        *("krakenlink", "ttslo_app.clocks", "ttslo_app.messages", "ttslo_app.rules"),
    },
    "ttslo_app.orders": {
        *("kraken_api", "krakenlink", "ttslo_app.clocks", "ttslo_app.messages"),
        "ttslo_app.rules",
    },
    "ttslo_app.face": {
        *("krakenlink", "ttslo_app.clocks", "ttslo_app.messages", "ttslo_app.orders.life"),
        *("ttslo_app.rules", "ws_price_provider"),
    },
    "ttslo_app.cluster": {
        *("krakenlink", "ttslo_app.columns", "ttslo_app.messages", "ttslo_app.store"),
    },
    "ttslo_app.backtest": {
        *("fake_kraken", "krakenlink", "ttslo_app.clocks", "ttslo_app.rules"),
        "ttslo_app.watch.rulebook",
    },
    # The running program knows none of those who see it, begin it, or share an account with it.
    "ttslo_app.run": {
        *("kraken_api", "krakenlink", "ttslo_app.clocks", "ttslo_app.columns", "ttslo_app.face"),
        *("ttslo_app.messages", "ttslo_app.orders", "ttslo_app.rules", "ttslo_app.store"),
        *("ttslo_app.terminal", "ttslo_app.watch", "ws_price_provider"),
    },
    "ttslo_app.signs": {
        *("creds", "kraken_api", "krakenlink", "ttslo_app.environment", "ttslo_app.face"),
        *("ttslo_app.messages", "ttslo_app.orders", "ttslo_app.rules", "ttslo_app.run"),
        "ttslo_app.store",
    },
    "ttslo_app.hosts": {
        *("creds", "kraken_api", "krakenlink", "ttslo_app.cluster", "ttslo_app.face"),
        *("ttslo_app.messages", "ttslo_app.orders", "ttslo_app.rules", "ttslo_app.run"),
        *("ttslo_app.signs", "ttslo_app.store", "ttslo_app.terminal"),
    },
    "ttslo_app.commands": {
        *("creds", "fake_kraken", "kraken_api", "krakenlink", "ttslo_app.columns"),
        *("ttslo_app.environment", "ttslo_app.face", "ttslo_app.hosts", "ttslo_app.messages"),
        *("ttslo_app.orders", "ttslo_app.rules", "ttslo_app.run", "ttslo_app.signs"),
        *("ttslo_app.store", "ttslo_app.terminal", "ws_price_provider"),
    },
    # A command each.
    "ttslo_app.doctor": {
        *("creds", "kraken_api", "krakenlink", "ttslo_app.clocks", "ttslo_app.environment"),
        *("ttslo_app.face", "ttslo_app.messages", "ttslo_app.orders", "ttslo_app.rules"),
        *("ttslo_app.run", "ttslo_app.signs", "ttslo_app.store", "ttslo_app.terminal"),
        "ws_price_provider",
    },
    "ttslo_app.paper": {
        *("fake_kraken", "kraken_api", "krakenlink", "ttslo_app.columns", "ttslo_app.commands"),
        *("ttslo_app.messages", "ttslo_app.orders", "ttslo_app.rules", "ttslo_app.run"),
        *("ttslo_app.signs", "ttslo_app.store", "ttslo_app.terminal"),
    },
    "ttslo_app.whatif": {
        *("fake_kraken", "kraken_api", "krakenlink", "ttslo_app.backtest", "ttslo_app.clocks"),
        *("ttslo_app.rules", "ttslo_app.signs", "ttslo_app.store", "ttslo_app.terminal"),
        "ttslo_app.watch",
    },
    "config": {"ttslo_app.store"},
    "validator": {"ttslo_app.rules"},
    "ttslo": {"krakenlink", "ttslo_app"},
    "fake_kraken": set(),  # a stand-in that shared code with the client would share its mistakes
    "dev": set(),
}

# Purity is the rule: these rooms alone meet threads, clocks, files or the network. A pure room may
# import pure rooms only, so that whoever loads it loads nothing else. One row a package.
SHELLS_OF: dict[str, set[str]] = {
    "": {  # doors, and packages of which each sets up its logger
        *("config", "creds", "dev", "kraken_api", "krakenlink", "ttslo", "ttslo_app"),
        "ws_price_provider",
    },
    "krakenlink": {
        *("channels", "flights", "held", "joints", "machine", "market_calls", "prices", "sockets"),
    },
    "krakenlink.relay": {"broker", "reader", "server"},
    "krakenlink.rest": {
        *("account_calls", "client", "gate", "kept", "listing", "session", "sockets", "transport"),
        "trust",
    },
    "krakenlink.stream": {
        *("account", "aio", "auditor", "budget", "connection", "handover", "looks", "pool"),
        *("reader", "runner", "wants", "wire"),
    },
    "ttslo_app": {"terminal"},
    "ttslo_app.store": {
        *("disk", "journal", "lock", "log_file", "manager", "place", "rule_file", "state_file"),
    },
    "ttslo_app.watch": {"lookback"},
    "ttslo_app.orders": {"exchange", "salvage", "seeker", "stand_ins", "worker"},
    "ttslo_app.face": {
        *("metrics", "notify", "pulse", "relay_metrics", "services", "voice", "web.server"),
    },
    "ttslo_app.cluster": {
        *("address", "books", "copy", "etcd", "etcd_watch", "pulse", "session", "witness"),
    },
    "ttslo_app.backtest": {"recording", "trade_cache"},
    "ttslo_app.run": {
        *("account_watch", "by_hand", "ending", "exclusive", "files", "inline"),
        *(
            "keeper",
            "live",
            "loader",
            "order_checks",
            "pair_news",
            "parts",
            "program",
            "saving",
            "streams",
        ),
        "watchdog",
    },
    "ttslo_app.signs": {"beat", "page", "screen", "snapshots", "telling", "watchers"},
    "ttslo_app.hosts": {
        *("accounts", "handover", "reach", "rows_command", "shared_files", "standby"),
        *("state_command", "store_command", "store_status", "stores"),
    },
    "ttslo_app.commands": {"by_hand", "cli", "demo", "flags", "price", "relay", "status", "table"},
    "ttslo_app.doctor": {"account", "command", "local", "network"},
    "ttslo_app.paper": {"command", "exchange"},
    "ttslo_app.whatif": {"command", "fetch", "progress", "work"},
    "fake_kraken": {
        *("__main__", "account_stream", "control", "core", "exchange", "replay", "rest", "seat"),
        "stream",
    },
}
SHELLS = {f"{package}.{room}".lstrip(".") for package, rooms in SHELLS_OF.items() for room in rooms}

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
    "aiohttp": frozenset(  # the rooms that serve; the exchange behind them needs none of it
        {
            *("fake_kraken.control", "fake_kraken.exchange", "fake_kraken.rest"),
            *("fake_kraken.seat", "fake_kraken.stream", "ttslo_app.face.web.server"),
        }
    ),
    "apprise": frozenset({"ttslo_app.face.services"}),
    "certifi": frozenset({"krakenlink.stream.wire"}),  # which requests brings along
    "filelock": frozenset({"krakenlink.stream.budget", "ttslo_app.store.lock"}),
    "numpy": frozenset(
        {
            *("ttslo_app.backtest.candles", "ttslo_app.backtest.history"),
            *("ttslo_app.backtest.page", "ttslo_app.backtest.recording"),
            "ttslo_app.backtest.sweep",
            "ttslo_app.backtest.trade_cache",
            "ttslo_app.whatif.fetch",
        }
    ),
    "msgspec": frozenset({"krakenlink.stream.frames", "krakenlink.stream.market_frames"}),
    "pyarrow": frozenset({"ttslo_app.backtest.recording"}),
    "plotly": frozenset({"ttslo_app.backtest.page"}),
    "pytest": frozenset({"fake_kraken.exchange"}),  # its fixture for the tests of others
    "platformdirs": frozenset({"krakenlink.machine"}),
    "prometheus_client": frozenset({"ttslo_app.face.metrics"}),
    "rich": frozenset({"ttslo_app.whatif.progress", "ttslo_app.signs.screen"}),
    "redis": frozenset({"krakenlink.relay.broker"}),
    "requests": frozenset(  # one wire to Kraken's REST, and one to a shared store
        {"krakenlink.rest.transport", "ttslo_app.cluster.etcd"}
    ),
    "socks": frozenset({"krakenlink.stream.wire"}),  # REST meets it through requests
    "urllib3": frozenset(
        {
            *("krakenlink.rest.kept", "krakenlink.rest.sockets", "krakenlink.rest.transport"),
            *("krakenlink.rest.trust", "ttslo_app.cluster.etcd"),
        }
    ),  # what requests does not tell apart is told there
    "websocket": frozenset({"krakenlink.stream.connection"}),
}

TALKERS = frozenset(
    {
        *("dev", "fake_kraken.__main__", "ttslo_app.commands.cli"),
        *("ttslo_app.commands.relay", "ttslo_app.terminal"),
    }
)
TALK = frozenset(
    {
        *("print", "sys.stdout.write", "sys.stderr.write"),
        *("logging.basicConfig", "logging.config.dictConfig", "logging.config.fileConfig"),
        *("logging.disable", "logging.FileHandler", "logging.StreamHandler"),
    }
)


def all_rooms() -> dict[str, Path]:
    """Return the dotted name and the file of every module of the project."""
    paths = [
        *ROOT.glob("*.py"),
        *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py")),
    ]
    return {dotted_name(path): path for path in paths}


def dotted_name(path: Path) -> str:
    """Return the name by which the module in `path` is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ROOMS = all_rooms()


@cache
def tree_of(module: str) -> ast.Module:
    """Return the syntax tree of `module`."""
    return ast.parse(ROOMS[module].read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything imported, inside functions too.

    `from urllib import request` counts as `urllib.request`. What is imported for types alone makes
    no arrow.
    """
    for node in running(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports here are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node but those under `if TYPE_CHECKING`."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test) == "TYPE_CHECKING":
        return
    yield tree
    for child in ast.iter_child_nodes(tree):
        yield from running(child)


@cache
def imported_by(module: str) -> frozenset[str]:
    """Return what `module` imports."""
    return frozenset(imports_of(tree_of(module)))


@cache
def called_by(module: str) -> frozenset[str]:
    """Return what `module` calls."""
    return frozenset(calls_of(tree_of(module)))


@cache
def rooms_used_by(module: str) -> set[str]:
    """Return the modules of ours that `module` imports itself."""
    found = {name if name in ROOMS else name.rpartition(".")[0] for name in imported_by(module)}
    return found & set(ROOMS)


def package_of(module: str) -> str:
    """Return the row of the table that speaks for `module`."""
    while module not in MAY_USE:
        module = module.rpartition(".")[0]
    return module


def is_within(module: str, packages: set[str]) -> bool:
    """Tell whether `module` lies in one of `packages`."""
    return any(f"{module}.".startswith(f"{package}.") for package in packages)


def calls_of(tree: ast.AST) -> Iterator[str]:
    """Yield the dotted name of everything called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def impure_uses(tree: ast.AST) -> set[str]:
    """Return the imports and calls that a pure module must not have."""
    return impure(imports_of(tree), calls_of(tree))


@cache
def impure_uses_of(module: str) -> set[str]:
    """Return what `module` would not have if it were pure."""
    return impure(imported_by(module), called_by(module))


def impure(imports: Iterable[str], calls: Iterable[str]) -> set[str]:
    """Return those of some imports and calls that a pure module must not have."""
    outside = dotted(IMPURE_CALLS)
    return {
        name
        for name in imports
        if any(f"{name}.".startswith(f"{one}.") for one in IMPURE_IMPORTS | IMPURE_CALLS)
    } | {call for call in calls if f".{call}".endswith(outside)}


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


def test_modules_import_only_what_their_packages_may() -> None:
    """No module of ours imports another one against the table."""
    assert {
        (module, used)
        for module in ROOMS
        for package in (package_of(module),)
        for used in rooms_used_by(module)
        if not is_within(used, MAY_USE[package] | {package})
    } == set()


def test_packages_use_all_that_they_may() -> None:
    """A leave that nobody takes is taken back: the table tells what a package stands on."""
    used: dict[str, set[str]] = {package: set() for package in MAY_USE}
    for module in ROOMS:
        used[package_of(module)] |= rooms_used_by(module)
    assert {
        (package, one)
        for package, may in MAY_USE.items()
        for one in may
        if not any(is_within(module, {one}) for module in used[package])
    } == set()


def test_rooms_have_no_circle() -> None:
    """There is an order in which every module stands after all that it imports."""
    waiting = {module: rooms_used_by(module) - {module} for module in ROOMS}
    while ready := [module for module, used in waiting.items() if not used & set(waiting)]:
        for module in ready:
            del waiting[module]
    assert not waiting


def test_every_shell_is_there() -> None:
    """The list of shells names no module that has gone."""
    assert set(ROOMS) >= SHELLS


def test_shells_are_shells() -> None:
    """What has become pure is held to it from then on."""
    assert {
        module
        for module in SHELLS
        if not impure_uses_of(module) and not rooms_used_by(module) & SHELLS
    } == set()


def test_pure_modules_touch_nothing_outside() -> None:
    """A pure module reads no clock, chance, file or network, logs nothing, and loads no shell."""
    assert {
        (module, use)
        for module in set(ROOMS) - SHELLS
        for use in impure_uses_of(module) | rooms_used_by(module) & SHELLS
    } == set()


def test_packages_have_no_circle() -> None:
    """Whoever reads a package reads those below it, and never comes back to it."""
    waiting = {
        package: {
            other
            for other in MAY_USE
            if other != package and (is_within(other, used) or other in map(package_of, used))
        }
        for package, used in MAY_USE.items()
    }
    while ready := [package for package, used in waiting.items() if not used & set(waiting)]:
        for package in ready:
            del waiting[package]
    assert not waiting


def folders_of_the_house() -> list[tuple[str, list[str]]]:
    """Return each folder that the document of the house tells of, with where to begin reading."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("| folder | what it is about |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([\w/]+)` \| .* \| ([^|]+) \|$", table, re.MULTILINE)
    return [(folder, re.findall(r"`([^`]+)`", begin)) for folder, begin in rows]


def test_house_tells_of_every_folder_from_the_top() -> None:
    """Each is in the table once, above all that it imports, with rooms that are there."""
    told = folders_of_the_house()
    names = [folder.replace("/", ".") for folder, _ in told]
    assert sorted(names) == sorted(
        name for name in MAY_USE if (ROOT / name.replace(".", "/")).is_dir() and name != "ttslo_app"
    )
    for place, name in enumerate(names):
        assert not {above for above in names[:place] if is_within(above, MAY_USE[name])}, name
    missing = [
        f"{folder}/{room}"
        for folder, begin in told
        for room in begin
        if not (ROOT / folder / room).is_file()
    ]
    assert missing == []


def rooms_of_the_house() -> set[str]:
    """Return the path of each room that the document of the house names.

    A name without a folder lies in the folder of the one before it in the same line.
    """
    found = set()
    for line in (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines():
        folder = ""
        for name in re.findall(r"`([\w/]+\.py)`", line):
            folder = name.rpartition("/")[0] or folder
            found.add(f"{folder}/{name.rpartition('/')[2]}")
    return found


def test_house_tells_where_each_room_is_needed() -> None:
    """Whoever has to change something finds the room in the tables; words stand where all do."""
    paths = {path.relative_to(ROOT).as_posix() for path in ROOMS.values()}
    told = rooms_of_the_house()
    assert {
        path
        for path in paths - told
        if "/" in path and not path.endswith(("words.py", "__init__.py"))
    } == set()


def test_each_library_is_met_in_one_place() -> None:
    """A library of others is imported by the one module that stands for it, and by no other."""
    ours = {name.partition(".")[0] for name in ROOMS}
    assert {
        (module, name)
        for module in ROOMS
        for name in {name.partition(".")[0] for name in imported_by(module)}
        if name not in sys.stdlib_module_names | ours and module not in LIBRARIES.get(name, ())
    } == set()


def test_modules_of_libraries_neither_print_nor_configure_logging() -> None:
    """Only programs speak to a person; a library leaves that to whoever uses it."""
    assert {
        (module, call) for module in set(ROOMS) - TALKERS for call in called_by(module) & TALK
    } == set()


def test_logger_of_a_package_is_silenced_in_one_place() -> None:
    """The package's own handler counts for all its rooms: one more in a room only hides it."""
    silencing = {module for module in ROOMS if "logging.NullHandler" in called_by(module)}
    assert silencing
    assert {
        module
        for module in silencing
        if ROOMS[module].parent != ROOT and ROOMS[module].name != "__init__.py"
    } == set()


def test_caller_without_logging_hears_nothing() -> None:
    """Whichever room speaks, and whichever of them alone was imported."""
    speak = "import importlib, logging, sys; importlib.import_module(sys.argv[1])"
    speak += "; logging.getLogger(sys.argv[1]).error('ERROR')"
    for module in ("krakenlink.once", "ttslo_app.orders.worker", "ttslo_app.store.journal"):
        run_python(f"import sys; sys.argv = ['', {module!r}]; {speak}")


def test_modules_swallow_no_error() -> None:
    """There is no bare `except`, none that only passes, and no silence over every error."""
    assert {
        (module, line) for module in ROOMS for line in silent_handlers(tree_of(module))
    } == set()


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

"""The documents, held to what the code does: whatever they tell of it can be looked up there."""

import re
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest

from krakenlink.stream.events import Event
from krakenlink.stream.private import ACCOUNT_TRANSITIONS
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import SUB_TRANSITIONS, TRANSITIONS, SubSignal, SubState
from ttslo_app.commands.table import WORDS
from ttslo_app.environment import KNOWN
from ttslo_app.hosts import (
    accounts,
    handover,
    rows_command,
    state_command,
    store_command,
    store_status,
)
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.past import Bounds
from ws_price_provider import FeedHealth, SymbolHealth

ROOT = Path(__file__).resolve().parents[3]


def read(name: str) -> str:
    """Return the text of a document."""
    return (ROOT / name).read_text(encoding="utf-8")


README, GUIDE, HOUSE = read("README.md"), read("WEBSOCKET_INTEGRATION.md"), read("ARCHITECTURE.md")
CHANNELS = read("docs/channels.md")
FAULTS = read("benchmarks/faults.md")
DOCUMENTS = ["README.md", "WEBSOCKET_INTEGRATION.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
DOCUMENTS += ["docs/channels.md", "docs/doctor.md", "docs/whatif.md", "STANDBY.md"]
PACKAGES = ("krakenlink", "ttslo_app")


def table_below(document: str, heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of `document`, its head left out."""
    section = document.partition(f"# {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    first = section.find("\n|")
    assert first >= 0, f"no table under {heading!r}"
    table = section[first:].lstrip("\n").partition("\n\n")[0].splitlines()
    assert table
    assert lines[: len(table)] == table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def drawn(heading: str) -> set[tuple[str, str, str]]:
    """Return (state, signal, next state) of each filled cell of a state table."""
    section = HOUSE.partition(f"# {heading}\n")[2]
    head = next(line for line in section.splitlines() if line.startswith("| state"))
    signals = [cell.strip(" `") for cell in head.strip("|").split("|")][1:]
    return {
        (row[0].strip("`"), signal, cell.strip("`"))
        for row in table_below(HOUSE, heading)
        for signal, cell in zip(signals, row[1:], strict=True)
        if cell
    }


@pytest.mark.parametrize(
    ("heading", "table"),
    [
        ("The life of the link", TRANSITIONS),
        ("The life of a subscription", SUB_TRANSITIONS),
        ("The life of the account's subscription", ACCOUNT_TRANSITIONS),
    ],
)
def test_state_table_is_the_code_s(heading: str, table: dict[tuple[Enum, Enum], Enum]) -> None:
    """The picture draws every transition of the code, and no other."""
    code = {(state.name, signal.name, to.name) for (state, signal), to in table.items()}
    assert drawn(heading) == code


def test_settings_table_is_the_dataclass() -> None:
    """The guide names every setting in the code's order, with its default and a reason."""
    told = [(row[0].strip("`"), row[1].strip("`")) for row in table_below(GUIDE, "Every number")]
    defaults: list[tuple[str, Any]] = [(f.name, f.default) for f in fields(FeedSettings)]
    assert told == [(name, shown(default)) for name, default in defaults]
    assert all(row[2] for row in table_below(GUIDE, "Every number"))


def shown(default: object) -> str:
    """Return a default as the guide writes it."""
    return "4 MiB" if default == 4 * 1024 * 1024 else str(default).strip("()").replace("'", "")


def sources() -> str:
    """Return the code whose sentences users meet, with the seams between its literals closed."""
    doors, rooms = (
        ["kraken_api.py", "ws_*.py"],
        ["krakenlink/**", "ttslo_app/**"],
    )
    patterns = [*doors, *(f"{room}/*.py" for room in rooms)]
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r'"\s*\n\s*f?"', "", text)


def told_messages() -> list[str]:
    """Return the messages that the guide's tables of troubleshooting quote."""
    sections = (
        text.partition("\n## Troubleshooting\n")[2].partition("\n## ")[0]
        for text in (GUIDE, CHANNELS)
    )
    return re.findall(r"^\| `([^`]+)` \|", "\n".join(sections), re.MULTILINE)


@pytest.mark.parametrize("message", told_messages())
def test_quoted_message_is_in_the_code(message: str) -> None:
    """Each message of the troubleshooting stands in the code; `...` is what changes in it."""
    parts = [part.strip() for part in message.split("...") if part.strip()]
    pattern = ".{0,60}?".join(map(re.escape, parts))
    assert re.search(pattern, sources(), re.DOTALL)


def test_troubleshooting_knows_every_warning_of_the_feed() -> None:
    """Whatever the feed logs as a warning or worse has its row in the guide."""
    files = [ROOT / "ws_price_provider.py", *(ROOT / "krakenlink" / "stream").glob("*.py")]
    module = "".join(file.read_text(encoding="utf-8") for file in files)
    module = re.sub(r'"\s*\n\s*f?"', "", module)
    logged = re.findall(r'logger\.(?:warning|error|exception)\(\s*"([^"]+)"', module)
    logged += re.findall(r'logging\.WARNING,\s*"([^"]{3,})"', module)  # "%s" stands elsewhere
    told = [[p.strip() for p in message.split("...") if p.strip()] for message in told_messages()]
    missing = [text for text in logged if not any(all(p in text for p in parts) for parts in told)]
    assert len(logged) > 8
    assert missing == []


def test_house_names_the_signals_and_states_of_a_subscription() -> None:
    """No state is left without a word on what it means for a caller."""
    for member in (*SubState, *SubSignal):
        assert f"`{member.name}`" in HOUSE


@pytest.mark.parametrize("kind", [*get_args(Event), FeedHealth, SymbolHealth])
def test_guide_tells_every_event_and_figure(kind: type[Any]) -> None:
    """Each event has its row, and each of its fields, and each figure of `health()`, a word."""
    told = GUIDE + CHANNELS
    row = next((r for r in told.splitlines() if r.startswith(f"| `{kind.__name__}`")), told)
    names = [f.name for f in fields(kind) if f.name != "at"]
    assert f"`{kind.__name__}`" in told
    assert [name for name in names if f"`{name}`" not in row] == []


def threads_and_locks() -> dict[str, Path]:
    """Return each thread's name and each lock that a room makes, with the room's file."""
    made: dict[str, Path] = {}
    for path in [
        *ROOT.glob("*.py"),
        *(p for name in PACKAGES for p in (ROOT / name).rglob("*.py")),
    ]:
        code = path.read_text(encoding="utf-8")
        found = re.findall(r'name="((?:kraken|ttslo)-[a-z-]+)"', code)
        found += re.findall(r"(\w+)(?:: [^=\n]+)? = threading\.(?:Lock|RLock|Condition)\(", code)
        made |= dict.fromkeys(found, path)
    return made


@pytest.mark.parametrize("name", sorted(threads_and_locks()))
def test_house_tells_every_thread_and_lock(name: str) -> None:
    """The tables of threads and locks name each one that a room makes."""
    tables = HOUSE.partition("\n## Threads and locks\n")[2].partition("\n## ")[0]
    assert re.search(rf"\b{name}`", tables)


def test_readme_tells_every_metric() -> None:
    """Each family of `/metrics` is named, in full or by its end behind one that is."""
    code = (ROOT / "ttslo_app/face/metrics.py").read_text(encoding="utf-8")
    section = README.partition("\n### Figures and health\n")[2].partition("\n##")[0]
    made = set(re.findall(r'"(ttslo_[a-z_]+)"', code))
    assert len(made) > 15
    assert [name for name in made if name.removeprefix("ttslo_feed") not in section] == []


def test_readme_tells_how_far_a_look_back_goes_and_each_policy() -> None:
    """Bounds and policies of blind windows are the code's."""
    section = README.partition("\n## When the program cannot see\n")[2].partition("\n## ")[0]
    bounds = Bounds()
    assert f"{bounds.seconds / 3600:.0f} hours, or {bounds.trades:,} trades" in section
    policies = re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE)
    assert policies == [policy.value for policy in WhenBlind]


@pytest.mark.parametrize("name", ["detection", "recovery"])
def test_measured_table_is_where_the_measurement_writes_it(name: str) -> None:
    """There is one place for each table that `benchmarks/detection.py --write` replaces."""
    begin, end = f"<!-- {name}: benchmarks/detection.py --write -->", f"<!-- end of {name} -->"
    assert (FAULTS.count(begin), FAULTS.count(end)) == (1, 1)
    rows = FAULTS.partition(begin)[2].partition(end)[0].strip().splitlines()
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_of_a_document_lead_somewhere(name: str) -> None:
    """Each file that a document links, runs or names by its path exists."""
    text = read(name)
    links = re.findall(r"\]\((?!https:)([^)#:]+)\)", text) + re.findall(r"python (\S+\.py)", text)
    links += re.findall(r"pytest (\S+\.py)", text)
    links += re.findall(r"`((?:krakenlink|ttslo_app|fake_kraken|tests|benchmarks)/[\w/.-]+)`", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_tests_that_the_readme_names_exist() -> None:
    """Each row of what happens when names tests that are there."""
    named = set(re.findall(r"`(test_\w+\.py)`", README))
    assert named
    assert named <= {path.name for path in (ROOT / "tests").rglob("test_*.py")}


def test_guide_is_short_enough_to_be_read() -> None:
    """What users need, and no more: the rest stands in the house's own document."""
    assert len(GUIDE.encode()) < 25_000


def test_standby_names_commands_flags_and_settings_that_are_there() -> None:
    """Each command is one, with its second word, each flag and each setting is known."""
    text = read("STANDBY.md")
    parsers = {
        "store": store_command.parser(),
        "rows": rows_command.parser(),
        "state": state_command.parser(),
        "handover": handover.parser(),
        "status": store_status.parser(),
    }
    told = set(re.findall(r"(?m)(?:^|`)ttslo ([a-z]+)(?: ([a-z]+))?", text))
    assert {first for first, _ in told} <= WORDS.keys()
    for first, second in told:
        if second and first in ("store", "rows", "state"):
            assert second in parsers[first].format_help(), (first, second)
    assert {first for first, _ in told} >= parsers.keys()
    main = read("ttslo_app/commands/flags.py")
    for flag in ("--store", "--account", "--standby-after"):
        assert flag in text
        assert f'"{flag}"' in main
    assert "--accounts" in accounts.parser().format_help()
    found = re.findall(r"\b(?:TTSLO|KRAKEN)_[A-Z_]+\b", text)
    settings = {name.partition("__")[0] for name in found}
    assert settings <= set(KNOWN)
    assert {name for name in KNOWN if name.startswith("TTSLO_STORE_")} <= settings


def test_standby_begins_with_who_does_not_need_it_and_what_remains_possible() -> None:
    """Nobody should have to read on to learn that."""
    first_page = read("STANDBY.md").splitlines()[:25]
    assert any("do not need this" in line for line in first_page)
    assert any("Two orders remain possible in two cases" in line for line in first_page)
    assert sum(bool(re.match(r"[12]\. Kraken", line)) for line in first_page) == 2

"""The examples and the guide of the price feed, held to what the code does."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest

from fake_kraken import FakeKraken
from krakenlink.stream.events import Event
from krakenlink.stream.settings import FeedSettings
from krakenlink.stream.states import SUB_TRANSITIONS, TRANSITIONS, SubSignal, SubState
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.past import Bounds
from ws_price_provider import FeedHealth, SymbolHealth

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "WEBSOCKET_INTEGRATION.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("[!_]*.py"))


def run_example(name: str, *arguments: str, **variables: str) -> str:
    """Return what an example prints; its warnings are errors, and so is anything on stderr."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **variables}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# ------------------------------------------------------------------------------------ examples


def test_basic_price_shows_both_sources_and_both_refusals() -> None:
    """One price from the stream and one over REST; no age and no pair is made up."""
    printed = run_example("basic_price", "--embedded")
    assert re.search(r"^float +[0-9.]+$", printed, re.MULTILINE)
    assert "from websocket, proven" in printed
    assert "No price for BTC/USD: proven" in printed
    assert "EQuery:Unknown asset pair" in printed
    assert re.search(r"^REST +[0-9.]+ from rest$", printed, re.MULTILINE)


def test_stream_against_rest_finds_the_cache_faster() -> None:
    """The comparison measures a price that came from the stream, and prints its ratio."""
    printed = run_example("stream_against_rest", "--embedded")
    assert "from websocket" in printed
    assert re.search(r"the cache answers [0-9,]+ times faster than REST", printed)


def test_monitor_shows_every_pair() -> None:
    """Each pair prints prices that move, and the link was made once."""
    printed = run_example("monitor", "--embedded", "--seconds", "0.5")
    counts = dict(re.findall(r"^([A-Z]+/USD): ([0-9]+) prices", printed, re.MULTILINE))
    assert set(counts) == {"BTC/USD", "ETH/USD", "SOL/USD", "DOGE/USD"}
    assert min(map(int, counts.values())) > 1
    assert "link LIVE" in printed
    assert printed.endswith("connections: 1\n")


def test_ttslo_integration_places_one_order_and_logs_its_own_way() -> None:
    """The embedding program gets TTSLO's sentences in its log, and the order's id."""
    printed = run_example("ttslo_integration", "--embedded")
    assert "my.program: my_rule: armed: BTC/USD at or above" in printed
    assert re.search(r"my_rule: .* crossed at .*; order [A-Z0-9-]+ placed", printed)
    assert re.search(r"^order: O[A-Z0-9-]+$", printed, re.MULTILINE)


def test_failure_and_recovery_moves_to_rest_and_back_twice() -> None:
    """A drop and a silence each lead to REST prices and back; the refusal is in Kraken's words."""
    printed = run_example("failure_and_recovery", "--embedded")
    sources = re.findall(r"the caller gets [0-9.]+ from (\w+)", printed)
    assert sources.count("REST") >= 2
    assert sources[-1] == "WEBSOCKET"
    assert printed.count("FeedBack(") >= 2
    assert printed.index("FeedSuspect(") < printed.index("no frame for ")
    assert "Currency pair not supported NOSUCH/USD" in printed


def test_complete_workflow_ends_with_a_filled_stop() -> None:
    """The rule is checked, run dry without an order, run for real, and its stop is filled."""
    printed = run_example("complete_workflow", "--embedded")
    checked, _, ran = printed.partition("3  a dry run")
    dry, _, real = ran.partition("4  the real thing")
    assert "VALIDATION PASSED" in checked
    assert "placed" not in dry.partition("\n")[2]
    assert real.count(" placed: ") == 1
    assert "closed, filled at 51700.0" in real


def test_example_without_the_flag_asks_the_exchange_of_the_environment(
    exchange: FakeKraken,
) -> None:
    """Without --embedded an example talks to Kraken, wherever the environment says that it is."""
    exchange.set_price("XXBTZUSD", "43210.5")
    urls = {"KRAKEN_SPOT_URL": exchange.rest_url, "KRAKEN_WS_PUBLIC_URL": exchange.ws_url}
    printed = run_example("basic_price", **urls)
    assert "float      43210.5\n" in printed
    assert "REST       43210.5 from rest\n" in printed


@pytest.mark.parametrize("name", EXAMPLES)
def test_example_tells_its_command(name: str) -> None:
    """Each example's first lines hold the one command that runs it without keys and network."""
    source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert f"python examples/{name}.py --embedded" in source.partition('"""\n\n')[0]
    assert f"test_{name}_" in Path(__file__).read_text(encoding="utf-8")


# --------------------------------------------------------------------------------------- guide


def table_below(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading of the guide, its head left out."""
    section = GUIDE.partition(f"# {heading}\n")[2].partition("\n#")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    first = section.find("\n|")
    assert first >= 0, f"no table under {heading!r}"
    table = section[first:].lstrip("\n").partition("\n\n")[0].splitlines()
    assert table
    assert lines[: len(table)] == table
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def drawn(heading: str) -> set[tuple[str, str, str]]:
    """Return (state, signal, next state) of each filled cell of a state table."""
    section = GUIDE.partition(f"# {heading}\n")[2]
    head = next(line for line in section.splitlines() if line.startswith("| state"))
    signals = [cell.strip(" `") for cell in head.strip("|").split("|")][1:]
    return {
        (row[0].strip("`"), signal, cell.strip("`"))
        for row in table_below(heading)
        for signal, cell in zip(signals, row[1:], strict=True)
        if cell
    }


@pytest.mark.parametrize(
    ("heading", "table"),
    [("The life of the link", TRANSITIONS), ("The life of a subscription", SUB_TRANSITIONS)],
)
def test_state_table_is_the_code_s(heading: str, table: dict[tuple[Enum, Enum], Enum]) -> None:
    """The guide draws every transition of the code, and no other."""
    code = {(state.name, signal.name, to.name) for (state, signal), to in table.items()}
    assert drawn(heading) == code


def test_settings_table_is_the_dataclass() -> None:
    """The guide names every setting in the code's order, with its default and a reason."""
    told = [(row[0].strip("`"), row[1].strip("`")) for row in table_below("Every number")]
    defaults: list[tuple[str, Any]] = [(f.name, f.default) for f in fields(FeedSettings)]
    assert told == [(name, shown(default)) for name, default in defaults]
    assert all(row[2] for row in table_below("Every number"))


def shown(default: object) -> str:
    """Return a default as the guide writes it."""
    return "4 MiB" if default == 4 * 1024 * 1024 else str(default).strip("()").replace("'", "")


def sources() -> str:
    """Return the code whose sentences users meet, with the seams between its literals closed."""
    doors, rooms = (
        ["kraken_api.py", "ws_*.py"],
        ["krakenlink/**", "ttslo_app/run", "ttslo_app/watch"],
    )
    patterns = [*doors, *(f"{room}/*.py" for room in rooms)]
    paths = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.sub(r'"\s*\n\s*f?"', "", text)


def told_messages() -> list[str]:
    """Return the messages that the guide's tables of troubleshooting quote."""
    section = GUIDE.partition("\n## Troubleshooting\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


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


def test_guide_names_the_signals_and_states_of_a_subscription() -> None:
    """No state is left without a word on what it means for a caller."""
    for member in (*SubState, *SubSignal):
        assert f"`{member.name}`" in GUIDE


@pytest.mark.parametrize("kind", [*get_args(Event), FeedHealth, SymbolHealth])
def test_guide_tells_every_event_and_figure(kind: type[Any]) -> None:
    """Each event has its row, and each of its fields, and each figure of `health()`, a word."""
    row = next((r for r in GUIDE.splitlines() if r.startswith(f"| `{kind.__name__}`")), GUIDE)
    names = [f.name for f in fields(kind) if f.name != "at"]
    assert f"`{kind.__name__}`" in GUIDE
    assert [name for name in names if f"`{name}`" not in row] == []


@pytest.mark.parametrize(
    "module",
    [
        "krakenlink/stream/wire",
        "krakenlink/stream/runner",
        "ws_price_provider",
        "krakenlink/stream/auditor",
        "kraken_api",
    ],
)
def test_guide_tells_every_thread_and_lock(module: str) -> None:
    """The table of threads and locks names each one that the module makes."""
    code = (ROOT / f"{module}.py").read_text(encoding="utf-8")
    made = re.findall(r'name="(kraken-[a-z-]+)"', code)
    made += re.findall(r"(\w+)(?:: [^=\n]+)? = threading\.(?:Lock|RLock|Condition)\(", code)
    table = GUIDE.partition("\n### Threads and locks\n")[2]
    assert made
    assert [name for name in made if not re.search(rf"\b{name}`", table)] == []


def test_guide_tells_every_metric() -> None:
    """Each family of `/metrics` is named, in full or by its end behind one that is."""
    code = (ROOT / "ttslo_app/face/metrics.py").read_text(encoding="utf-8")
    section = GUIDE.partition("\n### Metrics\n")[2].partition("\n##")[0]
    made = set(re.findall(r'"(ttslo_[a-z_]+)"', code))
    assert len(made) > 15
    assert [name for name in made if name.removeprefix("ttslo_feed") not in section] == []


def test_guide_tells_how_far_a_look_back_goes_and_each_policy() -> None:
    """Bounds and policies of blind windows are the code's."""
    section = GUIDE.partition("\n## When TTSLO cannot see\n")[2].partition("\n## ")[0]
    bounds = Bounds()
    assert f"{bounds.seconds / 3600:.0f} hours, or {bounds.trades:,} trades" in section
    policies = re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE)
    assert policies == [policy.value for policy in WhenBlind]


@pytest.mark.parametrize("name", ["detection", "recovery"])
def test_measured_table_is_where_the_measurement_writes_it(name: str) -> None:
    """The guide has one place for each table that `benchmarks/detection.py --write` replaces."""
    begin, end = f"<!-- {name}: benchmarks/detection.py --write -->", f"<!-- end of {name} -->"
    assert (GUIDE.count(begin), GUIDE.count(end)) == (1, 1)
    rows = GUIDE.partition(begin)[2].partition(end)[0].strip().splitlines()
    assert len({row.count("|") for row in rows}) == 1


def test_links_of_the_guide_lead_somewhere() -> None:
    """Each file that the guide links or runs exists."""
    links = re.findall(r"\]\(([^)#:]+)\)", GUIDE) + re.findall(r"python (\S+\.py)", GUIDE)
    links += re.findall(r"pytest (\S+\.py)", GUIDE)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

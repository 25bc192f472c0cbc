"""The examples, run as their readers would run them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fake_kraken import FakeKraken
from tests.kits.common.fresh_python import complaints

ROOT = Path(__file__).resolve().parents[3]
LIST = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("[!_]*.py"))


def run_example(name: str, *arguments: str, **variables: str) -> str:
    """Return what an example prints; its warnings are errors."""
    command = [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py"), *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **variables}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env=environment
    )
    assert (done.returncode, complaints(done.stderr)) == (0, [])
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


@pytest.mark.parametrize("name", EXAMPLES)
def test_list_of_examples_knows_it(name: str) -> None:
    """The list has a row for each example, with its command."""
    assert f"| `python examples/{name}.py --embedded" in LIST

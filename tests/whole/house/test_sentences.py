"""All that the program can say: one sentence each, which stands in a room of words."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from krakenlink.rest.answers import Outcome
from krakenlink.rest.verdicts import OutcomeKind, Pause
from tests.kits.orders.order_bench import life, rule
from tests.kits.signs import sign_kit
from ttslo_app.cluster.records import Lead
from ttslo_app.commands import words as command_words
from ttslo_app.environment import unknown_names
from ttslo_app.messages import Crossing, Past, Sentence, Sighting
from ttslo_app.orders.kin import Bond, Tie
from ttslo_app.orders.life import RuleState
from ttslo_app.paper import words as paper_words
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.watch.crossings import Touch

ROOT = Path(__file__).resolve().parents[3]
# Those of the doctor are a table, which has tests of its own.
ROOMS = [
    import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted((ROOT / "ttslo_app").rglob("*words.py"))
    if path.parent.name != "doctor"
]
# Two lines of a terminal of eighty columns.
LONGEST = 160
# What cannot be told shorter, and why.
LONGER = {
    "row_differs": "it names two orders, and four cells, each of which has to be changed",
}

SAMPLES: dict[str, object] = {
    "store": "etcd://127.0.0.1:2379/prod",
    "lead": Lead(4, "host-a-1f2e3d", "2026-11-26T10:00:00+00:00", "t"),
    "leads": True,
    "patience": 3.0,
    "silence": 3.2,
    "account": "main",
    "address": "http://127.0.0.1:8080",
    "ahead": 30.0,
    "backlog": 3,
    "armed_ids": ["btc", "eth"],
    "armed": 3,
    "before": 2,
    "by": "eth",
    "can_find": True,
    "complaint": "The orders cannot be watched",
    "config": "config.csv",
    "copy": "state.csv.damaged",
    "count": 1000,
    "crossing": Crossing(rule(), Decimal(50001), "50001"),
    "cure": "Mend it.",
    "current": rule(),
    "damage": "state.csv.intents: damaged in line 2",
    "done": "its order is placed now",
    "every": 10.0,
    "error": OSError(28, "No space left on device"),
    "errors": ["EOrder:Unknown order"],
    "fee": Decimal("0.40"),
    "file": "config.csv",
    "happened": "2 order placed",
    "has_fired": True,
    "has_looked": True,
    "hours": 24.0,
    "is_done": True,
    "is_dry": False,
    "is_owed": True,
    "is_reported": True,
    "is_same_trade": True,
    "is_saved": False,
    "life": life(RuleState.PLACED, order_id="OAAAAA-BBBBB-CCCCCC", trigger_price="50001"),
    "lives": [life(RuleState.PLACED, order_id="OAAAAA-BBBBB-CCCCCC", trigger_price="50001")],
    "looked_at": 12,
    "market": "BTC/USD",
    "message": "state.csv cannot be read.",
    "moment": datetime(2026, 11, 26, 12, tzinfo=UTC),
    "name": "SIGINT",
    "names": ["BTC/USD", "ETH/USD"],
    "nearest": "btc: BTC/USD at or above 50000, now 49000",
    "now": 1.8e9,
    "outcome": Outcome(OutcomeKind.REFUSED, reason="EOrder:Insufficient funds", cure="Pay in."),
    "outcomes": [paper_words.Outcome("btc", "BTC/USD at or above 50000", "USD", is_sell=True)],
    "owed": 60.0,
    "pair": "BTC/USD",
    "path": "state.csv.status.json",
    "pause": Pause.PAIR,
    "place": "https://hc-ping.com",
    "policy": WhenBlind.ALWAYS,
    "pid": 4711,
    "poll_every": 5.0,
    "present": Decimal(50001),
    "price": Decimal(40000),
    "reason": "no route to host.",
    "rest": "https://api.kraken.com",
    "rule_state": "intended",
    "row": sign_kit.row(),
    "rows": ["btc", "eth"],
    "rule": rule(),
    "rule_id": "btc",
    "rule_ids": ["btc", "eth"],
    "said": "EGeneral:Permission denied",
    "seconds": 12.3,
    "sighting": Sighting(
        "OAAAAA-BBBBB-CCCCCC", "canceled", "0.004", "49000", "by user", "volume 0.5"
    ),
    "since": "12:00:00Z",
    "snapshot": sign_kit.snapshot(),
    "span": (1.8e9, 1.8e9 + 60),
    "step": "sending",
    "symbol": "BTC/USD",
    "system": "maintenance",
    "text": "my.env can be read by others",
    "tie": Tie(Bond.SPENT, "eth", life(RuleState.PLACED), "OAAAAA-BBBBB-CCCCCC", "0.01"),
    "touch": Touch(rule(), Past(7, Decimal(50001), 1_800_000_000 * 10**9)),
    "txid": "OAAAAA-BBBBB-CCCCCC",
    "url": "http://127.0.0.1:9000",
    "verb": "fire",
    "wait": 300.0,
    "waited": 61.0,
    "waiting": 2,
    "warning": {"config_id": "btc", "field": "volume", "message": "Volume is very small."},
    "warnings": [
        {"config_id": name, "field": "volume", "message": "Insufficient BTC: too little."}
        for name in ("btc", "eth")
    ],
    "was_armed": True,
    "what": "prices: there is nobody to ask",
    "what_now": "; it is placed now",
    "where": "the price loop",
    "which": "trading",
    "why": "no data",
    "word": "yes",
}
# The same word means something else to one of them.
OF_ITS_OWN: dict[str, dict[str, object]] = {
    "refusal": {"error": SAMPLES["warning"]},
    "past_unknown": {"since": 1.8e9},
    "asked": {"row": "btc", "verb": "fire"},
    "answered": {"row": "btc", "text": "btc: order OAAAAA-BBBBB-CCCCCC is cancelled"},
    "would_refuse": {"reason": "EOrder:Insufficient funds."},
}


Saying = Callable[..., Any] | Sentence


def sayings(room: ModuleType) -> Iterator[Callable[..., Any]]:
    """Yield each function of a room that returns sentences."""
    for name, function in inspect.getmembers(room, inspect.isfunction):
        is_own = function.__module__ == room.__name__ and not name.startswith("_")
        if is_own and "Sentence" in str(inspect.signature(function).return_annotation):
            yield function


def constants(room: ModuleType) -> Iterator[tuple[str, Sentence]]:
    """Yield the sentences of a room that say always the same, by name."""
    for name, value in vars(room).items():
        if isinstance(value, Sentence):
            yield name, value


def said_by(function: Saying) -> list[Sentence]:
    """Return what a function says of ordinary things; a sentence says itself."""
    if isinstance(function, Sentence):
        return [function]
    own = OF_ITS_OWN.get(function.__name__, {})
    names = [n for n, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    if names == ["run"]:
        live = command_words.Run("https://api.kraken.com", "ws://127.0.0.1:1/v2", ("a", "b", "c"),
            has_trading_key=True, is_dry=False, version="1.0.0")  # fmt: skip
        found = function(live)
    else:
        found = function(**{name: own.get(name, SAMPLES.get(name)) for name in names})
    return found if isinstance(found, list) else [found]


ALL: dict[str, Saying] = {f"{r.__name__}.{f.__name__}": f for r in ROOMS for f in sayings(r)}
FIXED: dict[str, Saying] = {f"{r.__name__}.{name}": s for r in ROOMS for name, s in constants(r)}


def faults_found(check: Callable[[Any], None], those: Mapping[str, object]) -> dict[str, str]:
    """Return what `check` finds wrong, by the name of each sentence that it finds it in."""
    found = {}
    for name, one in those.items():
        try:
            check(one)
        except AssertionError as fault:
            found[name] = str(fault)
    return found


def test_sentences_are_whole() -> None:
    """Each fits, is one line with single blanks, and has no end mark twice and no hole."""
    assert faults_found(is_whole, ALL | FIXED) == {}


def is_whole(function: Saying) -> None:
    """Check each sentence of a function, or the one that it is."""
    longest = 200 if getattr(function, "__name__", "") in LONGER else LONGEST
    for sentence in said_by(function):
        text = sentence.text
        assert 10 < len(text) <= longest, text
        assert text == " ".join(text.split())
        assert not any(mark in text for mark in ("..", ".:", ".,", ".;", " .", "None", "()")), text
        assert text[-1] not in ",;:-", text


def test_sentences_name_what_they_are_about() -> None:
    """A row's sentence begins with its id; a pair's has its one name; a value is shown."""
    assert faults_found(names_what_it_is_about, ALL) == {}


def names_what_it_is_about(function: Callable[..., Any]) -> None:
    """Check each sentence of a function for what it was given."""
    parameters = inspect.signature(function).parameters
    for sentence in said_by(function):
        if "id" in sentence.fields:
            assert sentence.text.startswith(f"{sentence.fields['id']}: "), sentence.text
        if parameters.keys() & {"pair", "symbol", "market"}:
            assert "BTC/USD" in sentence.text
        if parameters.keys() & {"rule_id", "crossing", "life"}:
            assert "btc" in sentence.text
        if "error" in parameters and "warning" not in str(parameters):
            shown = ("No space left", "Unknown order", "very small", "No space")
            assert any(part in sentence.text for part in shown), sentence.text


def test_levels_are_four() -> None:
    """Logs are searched for them."""
    levels = {sentence.level for said in (ALL | FIXED).values() for sentence in said_by(said)}
    assert levels <= {"DEBUG", "INFO", "WARNING", "ERROR"}


def test_no_sample_is_missing_and_rooms_have_sentences() -> None:
    """A new word for something needs an ordinary value for it here."""
    needed = {
        name
        for function in ALL.values()
        for name, p in inspect.signature(function).parameters.items()  # type: ignore[arg-type]  # functions all
        if p.default is p.empty
    }
    assert needed - SAMPLES.keys() - {"run"} == set()
    assert len(ALL) > 60
    assert len(FIXED) > 15
    assert unknown_names(["TTSLO_X"])


def test_rooms_say_nothing_in_words_of_their_own() -> None:
    """What is said to a person stands in a room of words."""
    assert [
        f"{path.relative_to(ROOT)}: line {node.lineno}"
        for path in sorted((ROOT / "ttslo_app").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("say", "_say", "log")
        and len(node.args) > 1
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[1], ast.Constant | ast.JoinedStr)
    ] == []

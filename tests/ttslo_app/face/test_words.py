"""What a person reads of the rows: one line a row, and none that says armed of what is not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from ttslo_app.face import words
from ttslo_app.messages import Kind
from ttslo_app.orders.ledger import read_life
from ttslo_app.orders.life import Life, RuleState
from ttslo_app.rules.rule import Rule, read_rule

RULE = read_rule(
    {
        "id": "btc",
        "pair": "BTC/USD",
        "threshold_price": "50000",
        "threshold_type": "above",
        "direction": "sell",
        "volume": "0.01",
        "trailing_offset_percent": "5",
        "enabled": "true",
    }
)
OFF = replace(RULE, enabled=False)


def life(**cells: str) -> Life:
    """Return what became of the rule, by its cells of the state file."""
    return read_life("btc", {"id": "btc", "triggered": "false", **cells})


def test_armed_rule_tells_how_far_it_is() -> None:
    """Threshold, present price, distance, and what will be done."""
    assert words.armed(RULE, Decimal(40000)) == (
        "armed: BTC/USD at or above 50000, now 40000 (25.00 % away); then sell 0.01, trailing 5 %"
    )


def test_armed_rule_without_a_price_says_so() -> None:
    """No distance is made up."""
    said = words.armed(RULE, None)
    assert said == "armed: BTC/USD at or above 50000, no price yet; then sell 0.01, trailing 5 %"


FIRED = life(triggered="true", order_id="OA")


@pytest.mark.parametrize(
    ("rule", "became", "is_unpriced", "said"),
    [
        (RULE, None, False, "does not trade: its past is unknown"),
        (RULE, FIRED, False, "has fired: order OA"),
        (RULE, FIRED._replace(order_status="open"), False, "has fired: order OA, open"),
        (OFF, FIRED, False, "has fired: order OA"),
        (
            RULE,
            life()._replace(state=RuleState.UNCERTAIN),
            False,
            "uncertain: its order is being looked up at Kraken",
        ),
        (OFF, life(), True, "disabled"),
        (RULE, life(), True, "not armed yet: there is no price to check its threshold against"),
    ],
)
def test_standing_is_what_became_of_the_rule(
    rule: Rule, became: Life | None, is_unpriced: bool, said: str
) -> None:
    """What matters most is said, and nothing of it sounds armed."""
    assert words.standing(rule, became, Decimal(40000), is_unpriced=is_unpriced) == said


def test_rule_that_waits_for_nothing_else_is_armed() -> None:
    """A fresh row with a price is armed."""
    said = words.standing(RULE, life(), Decimal(40000), is_unpriced=False)
    assert said == words.armed(RULE, Decimal(40000))


@pytest.mark.parametrize(
    ("was_armed", "end"), [(False, "bad."), (True, "bad. It was armed until now and NO LONGER IS.")]
)
def test_refusal_of_an_armed_row_is_loud(was_armed: bool, end: str) -> None:
    """A protection that is gone is told as that."""
    error = {"config_id": "btc", "field": "volume", "message": "bad", "type": "error"}
    assert words.refusal(error, was_armed=was_armed).text == f"btc: refused: {end}"


@pytest.mark.parametrize(
    ("message", "is_due", "said"),
    [
        ("Small gap", False, "btc: Small gap"),
        (
            "Threshold already met: now",
            True,
            "btc: armed before, and crossed meanwhile: Threshold already met: now",
        ),
    ],
)
def test_caution_tells_why_a_row_fires_at_once(message: str, is_due: bool, said: str) -> None:
    """A row that was crossed while nobody looked is told apart from mere advice."""
    warning = {"config_id": "btc", "field": "x", "message": message, "type": "warning"}
    assert words.is_about_to_fire(warning) is is_due
    assert words.caution(warning).text == said


def test_a_config_that_is_gone_names_a_few_rows_and_counts_the_rest() -> None:
    """What stays armed, until when, and how to end it."""
    assert "No row is armed" in words.config_gone("config.csv", []).text
    said = words.config_gone("config.csv", [f"r{n}" for n in range(12)]).text
    assert "r0, r1, r2, r3, r4 and 7 more" in said
    assert "enabled=false" in said


@pytest.mark.parametrize(
    ("armed", "nearest", "begin"),
    [
        (0, "", "Daily digest: 0 rows are armed. In"),
        (1, "btc: near", "Daily digest: 1 row is armed; nearest btc: near. In"),
        (7, "", "Daily digest: 7 rows are armed. In"),
    ],
)
def test_digest_tells_what_it_knows_and_no_more(armed: int, nearest: str, begin: str) -> None:
    """Where no row has a price none is called nearest."""
    said = words.digest(armed, nearest, "no order", 23.6)
    assert said.text.startswith(begin)
    assert said.text.endswith("In the last 24 hours: no order")
    assert (said.kind, said.level) == (Kind.DIGEST, "INFO")


def test_what_is_said_of_an_address_has_its_end() -> None:
    """A warning, and in time the word that it is over, both of one kind."""
    pairs = [
        (words.cannot_tell("address 1", "it hangs up"), words.told_again("address 1")),
        (words.ping_fails("https://a", "it hangs up"), words.ping_works_again("https://a")),
        (words.ping_withheld("blind"), words.PING_GIVEN_AGAIN),
    ]
    for bad, good in pairs:
        assert (bad.kind, bad.level) == (Kind.NOTIFY, "WARNING")
        assert (good.kind, good.level) == (Kind.NOTIFY, "INFO")
        assert "again" in good.text

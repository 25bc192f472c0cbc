"""Kraken's error strings: what is refused, what heals, and what nobody knows."""

import pytest

from krakenlink.errors import KrakenAPIError
from krakenlink.rest.verdicts import TABLE, OutcomeKind, is_unknown_pair, verdict_of

LINES = sorted(TABLE)


@pytest.mark.parametrize("text", LINES)
def test_every_line_of_the_table_is_consistent(text: str) -> None:
    """Classes that promise that no order stands are given to certain refusals only."""
    verdict = verdict_of([text])
    assert verdict is TABLE[text]
    assert verdict.cure
    if verdict.kind is not OutcomeKind.REFUSED:
        assert verdict.error is KrakenAPIError
        assert not verdict.heals


@pytest.mark.parametrize(
    "text",
    [
        "EService:Unavailable",
        "EService:Busy",
        "EService:Deadline elapsed",
        "EGeneral:Internal error",
        "EGeneral:Internal error:17",
        "EGeneral:Invalid arguments:cl_ord_id",
        "EOrder:Something new",
        "ENew:Something else",
        "",
    ],
)
def test_doubtful_errors_leave_the_order_unknown(text: str) -> None:
    """What Kraken itself does not know, and what nobody has seen before, is never *refused*."""
    assert verdict_of([text]).kind is OutcomeKind.UNKNOWN


@pytest.mark.parametrize(
    ("text", "heals"),
    [
        ("EOrder:Insufficient funds", True),
        ("EOrder:Order minimum not met", False),
        ("EOrder:Cost minimum not met", True),
        ("EOrder:Invalid price:Invalid price argument.", False),
        ("EOrder:Rate limit exceeded", True),
        ("EService:Throttled:1762820224", True),
        ("EService:Market in cancel_only mode", True),
        ("EGeneral:Invalid arguments:Index unavailable", False),
        ("EGeneral:Permission denied", False),
        ("EAPI:Invalid nonce", True),
        ("EQuery:Unknown asset pair", False),
        ("EGeneral:Temporary lockout", True),
    ],
)
def test_refusals_say_whether_waiting_helps(text: str, heals: bool) -> None:
    """A refusal that a person must cure is told from one that passes."""
    verdict = verdict_of([text])
    assert (verdict.kind, verdict.heals) == (OutcomeKind.REFUSED, heals)


def test_longest_match_decides() -> None:
    """The more exact line of the table is the one that is used."""
    assert "trigger=last" in verdict_of(["EGeneral:Invalid arguments:Index unavailable"]).cure


@pytest.mark.parametrize(
    ("errors", "kind", "heals"),
    [
        (["EOrder:Insufficient funds", "EService:Busy"], OutcomeKind.UNKNOWN, False),
        (["EOrder:Insufficient funds", "EGeneral:Permission denied"], OutcomeKind.REFUSED, False),
        (["WGeneral:Danger", "EOrder:Insufficient funds"], OutcomeKind.REFUSED, True),
        (["WGeneral:Danger"], OutcomeKind.UNKNOWN, False),
        ([], OutcomeKind.UNKNOWN, False),
    ],
)
def test_several_errors_count_as_the_worst(
    errors: list[str], kind: OutcomeKind, heals: bool
) -> None:
    """Doubt outweighs certainty, and what needs a person outweighs what passes."""
    verdict = verdict_of(errors)
    assert (verdict.kind, verdict.heals) == (kind, heals)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EQuery:Unknown asset pair", True),
        ("EGeneral:Invalid arguments", True),
        ("EService:Busy", False),
    ],
)
def test_unknown_pair_is_recognised(text: str, expected: bool) -> None:
    """The errors that may only mean another spelling are told from all others."""
    assert is_unknown_pair(KrakenAPIError("Ticker", [text])) is expected

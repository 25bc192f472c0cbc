"""Kraken's error strings: what is refused, what heals, and what nobody knows."""

import pytest

from krakenlink.errors import AuthenticationError, KrakenAPIError, RateLimitError
from krakenlink.rest.verdicts import (
    TABLE,
    OutcomeKind,
    Pause,
    is_unknown_pair,
    may_be_one_pairs,
    verdict_of,
)

LINES = sorted(TABLE)


@pytest.mark.parametrize("text", LINES)
def test_every_line_of_the_table_is_consistent(text: str) -> None:
    """Classes that promise that no order stands are given to certain refusals only."""
    verdict = verdict_of([text])
    assert verdict is TABLE[text]
    assert verdict.cure_for("AddOrder")
    if verdict.kind is not OutcomeKind.REFUSED:
        assert verdict.error in (KrakenAPIError, AuthenticationError)
        assert not verdict.heals
    assert verdict.heals or not verdict.is_slow


@pytest.mark.parametrize(
    "text",
    [
        "EService:Unavailable",
        "EService:Busy",
        "EAPI:Invalid nonce",
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
        ("EGeneral:Permission denied", True),
        ("EService:Market in reduce_only mode", True),
        ("EService:Market in any_new mode", True),
        ("EBM:limit exceeded:CAL", True),
        ("EBM:limit exceeded:NEW", True),
        ("EGeneral:No data", True),
        ("EQuery:Unknown asset pair", False),
        ("EGeneral:Temporary lockout", True),
    ],
)
def test_refusals_say_whether_waiting_helps(text: str, heals: bool) -> None:
    """A refusal that a person must cure is told from one that passes."""
    verdict = verdict_of([text])
    assert (verdict.kind, verdict.heals) == (OutcomeKind.REFUSED, heals)


@pytest.mark.parametrize(
    ("text", "pause"),
    [
        ("EAPI:Invalid key", Pause.KEY),
        ("EAPI:Invalid signature", Pause.KEY),
        ("EAPI:Feature disabled", Pause.KEY),
        ("EGeneral:Permission denied", Pause.KEY),
        ("EGeneral:Permission denied:2FA required", Pause.KEY),
        ("EAuth:Account temporary disabled", Pause.KEY),
        ("EAuth:Account unconfirmed", Pause.KEY),
        ("EGeneral:Temporary lockout", Pause.LOCKOUT),
    ],
)
def test_trouble_of_the_key_or_the_account_is_no_rows_own(text: str, pause: Pause) -> None:
    """It heals once a person has mended it, and until then all calls with the key wait."""
    verdict = verdict_of([text])
    assert (verdict.kind, verdict.heals, verdict.pause) == (OutcomeKind.REFUSED, True, pause)


OF_THE_ORDER = (
    *("EOrder:Order minimum not met", "EOrder:Tick size", "EOrder:Invalid price"),
    *("EOrder:Invalid volume", "EOrder:Post only", "EGeneral:Invalid arguments"),
    *("EGeneral:Unknown asset pair", "EQuery:", "EAPI:Bad request"),
)


def test_only_what_is_said_of_the_order_itself_never_heals() -> None:
    """A row's life is ended by nothing that stands outside of it."""
    final = {t for t, v in TABLE.items() if v.kind is OutcomeKind.REFUSED and not v.heals}
    assert {text for text in final if not text.startswith(OF_THE_ORDER)} == set()


def test_limit_of_the_account_heals_slowly() -> None:
    """Canada's yearly limit is not asked about every minute."""
    assert verdict_of(["EBM:limit exceeded:CAL"]).is_slow
    assert not verdict_of(["EOrder:Insufficient funds"]).is_slow


@pytest.mark.parametrize(
    ("text", "causes"),
    [
        ("EAPI:Invalid key", ["swapped", "quotes", "2FA", "allowed IP"]),
        ("EAPI:Invalid signature", ["another key", "quotes", "swapped", "2FA"]),
        ("EGeneral:Permission denied", ["create an API key with", "2FA", "allowed IP"]),
        ("EAPI:Invalid nonce", ["Another program", "clock was ahead", "nonce window"]),
    ],
)
def test_cure_names_the_likely_causes_in_order(text: str, causes: list[str]) -> None:
    """The person reads first what it mostly is."""
    places = [verdict_of([text]).cure.find(cause) for cause in causes]
    assert -1 not in places
    assert places == sorted(places)


def test_longest_match_decides() -> None:
    """The more exact line of the table is the one that is used."""
    assert "trigger=last" in verdict_of(["EGeneral:Invalid arguments:Index unavailable"]).cure


@pytest.mark.parametrize(
    ("errors", "kind", "heals"),
    [
        (["EOrder:Insufficient funds", "EService:Busy"], OutcomeKind.UNKNOWN, False),
        (["EOrder:Insufficient funds", "EGeneral:Invalid arguments"], OutcomeKind.REFUSED, False),
        (["EGeneral:Invalid arguments", "EGeneral:Permission denied"], OutcomeKind.REFUSED, True),
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


@pytest.mark.parametrize(
    ("error", "may_be"),
    [
        (KrakenAPIError("Ticker", ["EGeneral:No data"]), True),
        (KrakenAPIError("Ticker", ["EQuery:Unknown asset pair"]), True),
        (KrakenAPIError("Ticker", ["EService:Unavailable"]), False),
        (KrakenAPIError("Ticker", ["EGeneral:Internal error"]), False),
        (KrakenAPIError("Ticker", ["EGeneral:No data", "EAPI:Invalid key"]), False),
        (AuthenticationError("Ticker", ["EGeneral:Permission denied"]), False),
        (RateLimitError("Ticker", ["HTTP 429"]), False),
    ],
)
def test_what_one_pair_has_done_is_no_reason_to_ask_for_none(
    error: KrakenAPIError, may_be: bool
) -> None:
    """The others are asked for one by one where that may help, and only there."""
    assert may_be_one_pairs(error) is may_be

"""What the doctor says of rows, funds and orders of the account."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kits.program.doctor_kit import ETH, Clinic, clinic
from tests.kits.program.program_process import HEADER, ROW
from ttslo_app.doctor import account

__all__ = ["clinic"]


# --- rows ------------------------------------------------------------------------------------


def test_each_refused_row_fails_once_and_the_others_go_on(clinic: Clinic) -> None:
    """Text, pair, minimum and threshold, each in the check that finds it."""
    clinic.write(
        ROW,
        "text,BTC/USD,soon,above,sell,0.01,0.5,true",
        "pair,XX/USD,51000,above,sell,0.01,0.5,true",
        "tiny,BTC/USD,51000,above,sell,0.0000001,0.5,true",
        "met,BTC/USD,49000,above,sell,0.01,0.5,true",
    )
    report = clinic.examine()
    told = [
        (one["id"], one["about"])
        for one in report.told["checks"]
        if one["status"] == "fail" and one["id"] in ("files.config", "rows.checked")
    ]
    assert sorted(told) == [
        ("files.config", "text"),
        ("rows.checked", "met"),
        ("rows.checked", "pair"),
        ("rows.checked", "tiny"),
    ]
    assert report.only("rows.orders")[1] == (
        "btc: Kraken would take sell 0.01 BTC/USD trailing-stop +0.5%"
    )


def test_row_that_was_armed_and_is_met_by_now_is_no_mistake(clinic: Clinic) -> None:
    """The program would fire it: the doctor says what the program says."""
    clinic.write("btc,BTC/USD,49000,above,sell,0.01,0.5,true")
    assert "rows.checked" in clinic.examine().failing()
    Path("state.csv").write_text(
        "id,triggered,trigger_price,trigger_time,order_id,activated_on,last_checked\n"
        "btc,false,,,,,2026-11-25T12:00:00Z\n"
    )
    report = clinic.examine()
    assert "rows.checked" not in report.failing()
    assert any("it fires at once" in text for _, text, _ in report.lines("rows.checked"))


@pytest.mark.parametrize("place", ["state", "config"])
def test_row_that_has_fired_asks_for_neither_funds_nor_order(clinic: Clinic, place: str) -> None:
    """Its stop stands at Kraken."""
    if place == "config":
        clinic.write(f"{ROW},OABC", header=f"{HEADER},order_id")
    else:
        Path("state.csv").write_text("id,triggered,order_id\nbtc,true,OABC-DEFGH-IJKLMN\n")
    report = clinic.examine()
    assert report.only("rows.orders")[1] == "nothing to look at: no row is armed"
    assert report.only("rows.funds")[1] == "nothing to look at: no row is armed"
    assert clinic.exchange.count("AddOrder") == 0


def test_pair_is_told_as_it_is_now(clinic: Clinic) -> None:
    """Not as a list of a day ago has it."""
    assert clinic.examine().only("rows.pairs")[1].startswith("BTC/USD is online, at least 0.0000")
    clinic.exchange.set_pair_status("XXBTZUSD", "cancel_only")
    status, text, _ = clinic.examine().only("rows.pairs")
    assert (status, "BTC/USD is cancel_only" in text) == ("warn", True)
    clinic.exchange.change_pair("XXBTZUSD", status="online", ordermin="1")
    report = clinic.examine()
    assert "at least 1, worth" in report.only("rows.pairs")[1]
    assert "below Kraken's minimum of 1" in report.lines("rows.checked")[0][1]


# --- funds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("volumes", "status", "words"),
    [
        (["30", "30"], "ok", "BTC: 2 armed rows take 60.00000000, the account has 100"),
        (["60", "60"], "warn", "BTC: 2 armed rows take 120.00000000 together, the account has 100"),
        (["150", "1"], "fail", "BTC: r0 alone takes 150.00000000, the account has 100"),
    ],
)
def test_sells_are_summed_by_asset(
    clinic: Clinic, volumes: list[str], status: str, words: str
) -> None:
    """Enough for all, for each but not for all, and not even for one."""
    clinic.write(*(f"r{n},BTC/USD,51000,above,sell,{volume},0.5,true"
                   for n, volume in enumerate(volumes)))  # fmt: skip
    line = clinic.examine().only("rows.funds")
    assert line[0] == status
    assert line[1].startswith(words)
    assert bool(line[2]) is (status != "ok")


def test_buys_pay_in_the_other_asset_and_disabled_rows_nothing(clinic: Clinic) -> None:
    """At their threshold."""
    clinic.write(
        ETH, ETH.replace("eth,", "e2,").replace("100,", "200,"), ROW.replace("true", "false")
    )
    (line,) = clinic.examine().lines("rows.funds")
    assert line[1].startswith("USD: 2 armed rows take 300.00000000, the account has 1000000")


def test_funds_that_cannot_be_asked_for_are_neither_enough_nor_lacking(clinic: Clinic) -> None:
    """No answer is not a no."""
    clinic.exchange.fault("http_502", endpoint="Balance")
    line = clinic.examine().only("rows.funds")
    assert line[0] == "warn"
    assert line[1].startswith("funds are not looked at: ")


# --- orders ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        ("EOrder:Insufficient funds", "fail", "would REFUSE sell 0.01 BTC/USD"),
        ("EOrder:Trading agreement required", "fail", "would REFUSE"),
        ("EGeneral:Permission denied", "fail", "would REFUSE"),
        ("EService:Unavailable", "warn", "is not known"),
        ("EAPI:Rate limit exceeded", "warn", "is not known"),
    ],
)
def test_real_order_is_judged_by_kraken(clinic: Clinic, text: str, status: str, words: str) -> None:
    """A refusal tells its cure; an answer that is none is no refusal."""
    clinic.exchange.fault("error", endpoint="AddOrder", text=text)
    line = clinic.examine().only("rows.orders")
    assert line[0] == status
    assert words in line[1]
    assert text in line[1]
    assert line[2]


def test_order_that_appears_from_a_mere_question_is_shouted(clinic: Clinic) -> None:
    """It was never seen, and would be money."""
    clinic.exchange.fault("validate_txid")
    status, text, cure = clinic.examine().only("rows.orders")
    assert status == "fail"
    assert "Kraken names an order" in text
    assert "cancel it" in cure


def test_orders_that_are_alike_are_asked_about_once(clinic: Clinic) -> None:
    """Each such question counts against Kraken's limit of orders on a pair."""
    clinic.write(*(f"r{n},BTC/USD,{51000 + n},above,sell,0.01,0.5,true" for n in range(5)))
    line = clinic.examine().only("rows.orders")
    assert line[1].startswith("r0, r1, r2 and 2 more: Kraken would take ")
    assert clinic.exchange.count("AddOrder") == 1


def test_many_orders_are_not_all_asked_about(clinic: Clinic) -> None:
    """Twenty at once, and the rest is named."""
    clinic.write(*(f"r{n},BTC/USD,51000,above,sell,0.0{n + 10},0.5,true" for n in range(23)))
    lines = clinic.examine().lines("rows.orders")
    assert [line[0] for line in lines] == ["ok"] * 20 + ["warn"]
    assert lines[-1][1].startswith("r20, r21, r22: not asked about")


def test_key_that_is_refused_meanwhile_ends_the_questions(clinic: Clinic) -> None:
    """Whoever goes on is locked out."""
    clinic.write(ROW, ETH)
    clinic.exchange.fault("error", endpoint="AddOrder", text="EAPI:Invalid key")
    report = clinic.examine()
    assert report.statuses("rows.orders") == ["fail", "warn"]
    assert clinic.exchange.count("AddOrder") == 1


def test_own_words_for_what_a_key_is_for_cover_what_the_readme_asks() -> None:
    """A permission that the table of keys names is looked at."""
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")
    table = readme.partition("\n## Keys\n")[2].partition("\n## ")[0]
    for part in ("Funds: Query", "Query open orders & trades", "Query closed orders & trades",
                 "Create & modify orders", "Access WebSockets"):  # fmt: skip
        assert part in table
    assert len(account._USES) == 5

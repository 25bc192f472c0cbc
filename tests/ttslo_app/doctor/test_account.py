"""What the doctor finds out about keys, rows, funds and orders, without placing anything."""

from __future__ import annotations

import base64
import time
from pathlib import Path

import pytest

from fake_kraken.keys import USUAL
from krakenlink.rest import gate as gates
from krakenlink.rest.key_info import KeyInfo
from tests.kits.program.doctor_kit import Clinic, clinic
from tests.kits.program.program_process import READ_KEY, READ_SECRET
from ttslo_app.doctor import account
from ttslo_app.store.lock import StateLock

__all__ = ["clinic"]

OTHER_SECRET = base64.b64encode(b"the secret of another key").decode()
DAY = 86_400.0
KEYS = ("keys.rights", "keys.withdrawal", "keys.expiry", "keys.addresses", "keys.nonces")


def trading(clinic: Clinic, *missing: str, also: str = "", **options: object) -> None:
    """Give the trading key all permissions but those that are named, and one more."""
    exchange = clinic.exchange
    granted = (USUAL - set(missing)) | ({also} if also else set())
    exchange.add_key(exchange.api_key, exchange.api_secret, granted, **options)  # type: ignore[arg-type]  # by name


# --- whether a key is one program's alone ---------------------------------------------------------


@pytest.fixture
def gates_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no other test go on with a key that became exclusive here."""
    monkeypatch.setattr(gates, "_gates", {})


@pytest.mark.usefixtures("gates_of_its_own")
def test_exclusive_key_is_proven_only_where_somebody_asks_for_it(clinic: Clinic) -> None:
    """Both ways are one call: the far nonce is taken, the clock's is refused."""
    assert "was not given" in clinic.examine().only("keys.exclusive")[1]
    report = clinic.examine("--exclusive-key-test", "--yes-this-key-is-ttslos-alone")
    status, text, _ = report.only("keys.exclusive")
    assert (status, text[:45]) == ("ok", "Kraken takes exclusive nonces of the trading ")
    assert report.statuses("keys.found") == ["ok", "ok"]


@pytest.mark.usefixtures("gates_of_its_own")
def test_nonce_window_lets_a_second_copy_through_and_fails(clinic: Clinic) -> None:
    """The flag would be relied on in vain."""
    trading(clinic, nonce_window=2**63)
    report = clinic.examine("--exclusive-key-test", "--yes-this-key-is-ttslos-alone")
    status, text, cure = report.only("keys.exclusive")
    assert (status, "took a LOWER nonce" in text) == ("fail", True)
    assert "nonce window to 0" in cure


def test_exclusive_key_is_left_alone_as_a_call_would_depose(
    clinic: Clinic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that has it may run on another machine."""
    monkeypatch.setattr(gates.Gate, "was_exclusive", True)
    calls = clinic.exchange.count("GetApiKeyInfo")
    report = clinic.examine()
    assert report.statuses("keys.found") == ["warn", "warn"]
    assert "a call from here would take it over" in report.lines("keys.found")[1][1]
    assert clinic.exchange.count("GetApiKeyInfo") == calls


def test_proof_needs_a_persons_word(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no way back for the key."""
    with pytest.raises(SystemExit) as ended:
        clinic.examine("--exclusive-key-test")
    assert ended.value.code == 2
    assert "--yes-this-key-is-ttslos-alone" in capsys.readouterr().err
    assert clinic.exchange.requests == []


# --- whether there are keys, and whether they are taken ------------------------------------------


def test_no_trading_key_warns_that_nothing_can_be_placed(clinic: Clinic) -> None:
    """A program that only watches is meant by some."""
    clinic.set(KRAKEN_API_KEY_RW="", KRAKEN_API_SECRET_RW="")
    report = clinic.examine()
    assert report.code == 0
    status, text, cure = report.lines("keys.found")[1]
    assert (status, "CANNOT PLACE ORDERS" in text) == ("warn", True)
    assert cure == "Set KRAKEN_API_KEY_RW and KRAKEN_API_SECRET_RW"
    assert "no trading key" in report.only("rows.orders")[1]
    assert clinic.exchange.count("AddOrder") == 0


def test_no_keys_at_all_is_told_once(clinic: Clinic) -> None:
    """The checks that need one have nothing to look at."""
    clinic.set(KRAKEN_API_KEY_RW="", KRAKEN_API_SECRET_RW="", KRAKEN_API_KEY="",
               KRAKEN_API_SECRET="")  # fmt: skip
    report = clinic.examine()
    assert report.odd() == {"keys.found", "rows.funds", "rows.orders"}
    for name in KEYS:
        assert report.only(name) == ("ok", "nothing to look at: Kraken was asked about no key", "")


def test_key_of_a_program_that_runs_is_not_told_to_be_set(clinic: Clinic) -> None:
    """It is there; why nobody was asked with it stands with the keys, and the cure says so."""
    clinic.set(KRAKEN_API_KEY="", KRAKEN_API_SECRET="")
    with StateLock("state.csv"):
        report = clinic.examine()
    assert report.code == 0
    assert "uses the trading key" in report.lines("keys.found")[1][1]
    for name in ("rows.funds", "rows.orders"):
        status, text, cure = report.only(name)
        assert (status, cure) == ("warn", "See what keys.found tells")
        assert text.endswith("key to ask with now")
    assert clinic.exchange.count("Balance") == clinic.exchange.count("AddOrder") == 0


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (
            "KRAKEN_API_KEY",
            "the reading key is half a key: KRAKEN_API_SECRET is set, KRAKEN_API_KEY",
        ),
        ("KRAKEN_API_SECRET_RW", "the trading key is half a key: KRAKEN_API_KEY_RW is set"),
    ],
)
def test_half_a_key_fails_with_the_name_of_what_is_missing(
    clinic: Clinic, variable: str, words: str
) -> None:
    """The program would take it for no key at all."""
    clinic.set(**{variable: ""})
    report = clinic.examine()
    (line,) = (one for one in report.lines("keys.found") if one[0] == "fail")
    assert line[1].startswith(words)
    assert line[2] == f"Set {variable}"


def test_file_of_a_key_that_cannot_be_read_fails(clinic: Clinic) -> None:
    """By its variable; the other key is looked at all the same."""
    clinic.set(KRAKEN_API_KEY_RW="", KRAKEN_API_KEY_RW_FILE="gone")
    report = clinic.examine()
    assert report.statuses("keys.found") == ["fail", "ok"]
    assert "KRAKEN_API_KEY_RW_FILE names gone" in report.lines("keys.found")[0][1]


def test_keys_are_found_in_a_file_of_keys(clinic: Clinic) -> None:
    """The one that `--env-file` names."""
    clinic.set(KRAKEN_API_KEY="", KRAKEN_API_SECRET="")
    Path("my.env").write_text(f"KRAKEN_API_KEY={READ_KEY}\nKRAKEN_API_SECRET={READ_SECRET}\n")
    Path("my.env").chmod(0o600)
    assert clinic.examine("--env-file", "my.env").statuses("keys.found") == ["ok", "ok"]


@pytest.mark.parametrize(
    ("key", "secret", "words", "cure"),
    [
        ("WRONG", OTHER_SECRET, "EAPI:Invalid key", "swapped"),
        ("", OTHER_SECRET, "EAPI:Invalid signature", "another key"),
        ("", "no base64 at all", "base64", "Copy key and secret anew"),
    ],
)
def test_wrong_key_fails_and_is_not_used_again(
    clinic: Clinic, key: str, secret: str, words: str, cure: str
) -> None:
    """Kraken locks out whoever goes on: one call, and no order is asked about with it."""
    clinic.exchange.fault("lockout", calls=2)
    clinic.set(KRAKEN_API_KEY_RW=key or clinic.exchange.api_key, KRAKEN_API_SECRET_RW=secret)
    report = clinic.examine()
    status, text, helps = report.lines("keys.found")[1]
    assert (status, words in text) == ("fail", True)
    assert text.startswith("the trading key is refused: ")
    assert cure in helps
    assert clinic.exchange.count("AddOrder") == 0
    assert all("the reading key" in report.only(name)[1] for name in KEYS)
    assert "no trading key to ask with" in report.only("rows.orders")[1]


def test_lockout_is_told_and_not_prolonged(clinic: Clinic) -> None:
    """One call a key, and no other."""
    clinic.exchange.fault("error", endpoint="GetApiKeyInfo", text="EGeneral:Temporary lockout")
    report = clinic.examine()
    assert report.statuses("keys.found") == ["fail", "fail"]
    assert "15 minutes" in report.lines("keys.found")[0][2]
    private = {"Balance", "OpenOrders", "ClosedOrders", "AddOrder"}
    assert {call.endpoint for call in clinic.exchange.requests} & private == set()


def test_no_answer_about_a_key_is_no_refusal(clinic: Clinic) -> None:
    """It is not called wrong, nor right."""
    clinic.exchange.fault("http_502", endpoint="GetApiKeyInfo")
    report = clinic.examine()
    assert report.statuses("keys.found") == ["warn", "warn"]
    assert "Kraken gave no answer about the reading key: " in report.lines("keys.found")[0][1]


def test_one_key_for_both_is_asked_about_once(clinic: Clinic) -> None:
    """It is looked at as the trading key, which must be able to do more."""
    clinic.set(KRAKEN_API_KEY=clinic.exchange.api_key, KRAKEN_API_SECRET=clinic.exchange.api_secret)
    report = clinic.examine()
    assert report.lines("keys.found")[0][1].startswith("the reading key is the trading key")
    assert clinic.exchange.count("GetApiKeyInfo") == 1
    assert len(report.lines("keys.rights")) == 1
    assert report.statuses("rows.funds") == ["ok"]


def test_key_of_a_program_that_runs_is_left_alone(clinic: Clinic) -> None:
    """The reading key may be asked about: the program asks again where its nonce is refused."""
    with StateLock("state.csv"):
        report = clinic.examine()
    assert report.statuses("keys.found") == ["ok", "warn"]
    assert "could spoil a nonce" in report.lines("keys.found")[1][1]
    assert clinic.exchange.count("GetApiKeyInfo") == 1
    assert clinic.exchange.count("AddOrder") == 0
    assert report.code == 0


def test_one_key_for_both_is_left_alone_while_it_is_used(clinic: Clinic) -> None:
    """The same nonces, whatever it is called."""
    clinic.set(KRAKEN_API_KEY=clinic.exchange.api_key, KRAKEN_API_SECRET=clinic.exchange.api_secret)
    with StateLock("config.csv"):
        report = clinic.examine()
    assert clinic.exchange.count("GetApiKeyInfo") == clinic.exchange.count("Balance") == 0
    assert report.statuses("rows.funds") == ["warn"]


# --- what they may do ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "status", "words"),
    [
        ("modify", "fail", "'Create & modify orders' (for placing the stop)"),
        ("query open", "fail", "'Query open orders & trades' (for watching orders"),
        ("query closed", "fail", "'Query closed orders & trades' (for seeing how an order ended"),
        ("query funds", "warn", "'Query funds' (for looking at funds"),
        ("websocket", "warn", "'Access WebSockets' (for hearing of a fill at once)"),
    ],
)
def test_missing_permission_is_named_with_what_it_is_for(
    clinic: Clinic, missing: str, status: str, words: str
) -> None:
    """What an order can do without only warns."""
    trading(clinic, missing)
    report = clinic.examine()
    line = report.lines("keys.rights")[1]
    assert line[0] == status
    assert line[1].startswith(f"the trading key lacks {words}")
    assert "page of API keys" in line[2]
    assert ("rows.orders" in report.failing()) is (missing == "modify")


def test_reading_key_needs_no_permission_to_place_and_only_warns(clinic: Clinic) -> None:
    """Orders are watched with the trading key instead."""
    clinic.exchange.add_key(READ_KEY, READ_SECRET, {"query open"})
    report = clinic.examine()
    line = report.lines("keys.rights")[0]
    assert line[0] == "warn"
    assert "Create & modify" not in line[1]
    assert "'Query funds'" in line[1]
    assert report.failing() == set()
    assert report.statuses("rows.funds") == ["warn"]


def test_key_that_may_withdraw_is_warned_of(clinic: Clinic) -> None:
    """Loudly, with what could happen."""
    trading(clinic, also="withdraw")
    report = clinic.examine()
    assert report.statuses("keys.withdrawal") == ["ok", "warn"]
    _, text, cure = report.lines("keys.withdrawal")[1]
    assert text.startswith("the trading key MAY WITHDRAW: ")
    assert "the program never needs it" in cure


@pytest.mark.parametrize(
    ("days", "status", "words"),
    [(0.0, "ok", "does not end"), (90.0, "ok", "ends on 20"), (3.0, "warn", "ends on 20")],
)
def test_end_of_a_key_is_told(clinic: Clinic, days: float, status: str, words: str) -> None:
    """Two weeks before it is a warning."""
    trading(clinic, valid_until=time.time() + days * DAY if days else 0.0)
    line = clinic.examine().lines("keys.expiry")[1]
    assert (line[0], words in line[1]) == (status, True)


def test_key_that_has_ended_by_its_own_words_fails() -> None:
    """Where Kraken still answers, or this machine's clock is ahead."""
    sentence = account._expiry("trading", KeyInfo(expires_at=1.0))
    assert (sentence.level, sentence.text) == (
        "ERROR", "the trading key has ended on 1970-01-01 00:00Z")  # fmt: skip


@pytest.mark.parametrize(
    ("missing", "status", "words"),
    [
        ((), "ok", "may place several orders of a pair in one request"),
        (("cancel",), "warn", "cannot place several orders of a pair in one request"),
    ],
)
def test_key_tells_whether_it_may_place_several_orders_at_once(
    clinic: Clinic, missing: tuple[str, ...], status: str, words: str
) -> None:
    """The permission to cancel decides it, and no batch is sent to find out."""
    trading(clinic, *missing)
    line = clinic.examine().only("keys.batches")
    assert (line[0], words in line[1]) == (status, True)
    assert clinic.exchange.count("AddOrderBatch") == 0


def test_whether_batches_are_taken_is_unknown_where_kraken_does_not_tell(clinic: Clinic) -> None:
    """What single calls have found out says nothing of it; without a trading key nothing does."""
    clinic.exchange.fault("error", endpoint="GetApiKeyInfo", text="EGeneral:Unknown method")
    line = clinic.examine().only("keys.batches")
    assert (line[0], "is not told" in line[1]) == ("ok", True)
    clinic.set(KRAKEN_API_KEY_RW="", KRAKEN_API_SECRET_RW="")
    assert clinic.examine().only("keys.batches")[1] == (
        "nothing to look at: Kraken was asked about no key"
    )


def test_addresses_and_window_are_told(clinic: Clinic) -> None:
    """Neither is wrong by itself."""
    trading(clinic, addresses=["192.0.2.7", "192.0.2.8"], nonce_window=10_000)
    report = clinic.examine()
    assert report.lines("keys.addresses")[1][1] == (
        "the trading key may be used from 192.0.2.7, 192.0.2.8"
    )
    assert report.lines("keys.nonces")[1][1] == "the trading key has a nonce window of 10000"
    assert report.lines("keys.nonces")[0][1].startswith("the reading key has no nonce window")
    assert report.code == 0


@pytest.mark.parametrize("text", ["[]", '{"permissions": ["alpha", "beta"]}', '{"key": 1}'])
def test_answer_that_tells_nothing_is_told_as_that(clinic: Clinic, text: str) -> None:
    """Not known is neither missing nor granted; the orders are asked about all the same."""
    clinic.exchange.fault("odd_result", endpoint="GetApiKeyInfo", text=text)
    report = clinic.examine()
    assert "fail" not in report.statuses("keys.rights")
    assert "fail" not in report.statuses("keys.found")
    if text != "[]":
        assert report.statuses("keys.rights") == ["warn", "warn"]
        assert report.statuses("keys.withdrawal") == ["warn", "warn"]
        assert report.statuses("keys.expiry") == ["warn", "warn"]
        assert report.statuses("rows.orders") == ["ok"]


@pytest.mark.parametrize("text", ["EGeneral:Permission denied", "EGeneral:Unknown method"])
def test_key_of_which_kraken_tells_nothing_is_found_out_by_harmless_calls(
    clinic: Clinic, text: str
) -> None:
    """One for each permission; of withdrawing nothing is tried, and nothing is claimed."""
    trading(clinic, "query closed")
    clinic.exchange.fault("error", endpoint="GetApiKeyInfo", text=text)
    report = clinic.examine()
    assert report.statuses("keys.found") == ["warn", "warn"]
    assert report.lines("keys.rights")[0][0] == "ok"
    status, told, _ = report.lines("keys.rights")[1]
    assert status == "fail"
    assert told.startswith("the trading key lacks 'Query closed orders & trades'")
    assert report.statuses("keys.withdrawal") == ["warn", "warn"]
    orders = [call.params for call in clinic.exchange.requests if call.endpoint == "AddOrder"]
    assert orders
    assert all(params["validate"] == "true" for params in orders)


def test_key_that_may_place_nothing_is_found_out_without_being_told(clinic: Clinic) -> None:
    """By an order that is only checked."""
    trading(clinic, "modify")
    clinic.exchange.fault("error", endpoint="GetApiKeyInfo", text="EGeneral:Unknown method")
    report = clinic.examine()
    assert "'Create & modify orders'" in report.lines("keys.rights")[1][1]
    assert report.lines("keys.rights")[1][0] == "fail"


def test_calls_that_are_not_answered_prove_no_permission_missing(clinic: Clinic) -> None:
    """No answer is not a no."""
    clinic.exchange.fault("error", endpoint="GetApiKeyInfo", text="EGeneral:Unknown method")
    fault = clinic.exchange.fault("http_502", endpoint="OpenOrders")
    assert clinic.examine().statuses("keys.rights") == ["warn", "warn"]
    fault.clear()
    clinic.exchange.fault("error", endpoint="AddOrder", text="EService:Unavailable")
    assert clinic.examine().statuses("keys.rights") == ["ok", "warn"]


def test_reading_key_is_not_asked_whether_it_may_place(clinic: Clinic) -> None:
    """Only what each key is for is found out."""
    clinic.set(KRAKEN_API_KEY_RW="", KRAKEN_API_SECRET_RW="")
    clinic.exchange.fault("error", endpoint="GetApiKeyInfo", text="EGeneral:Unknown method")
    assert clinic.examine().statuses("keys.rights") == ["ok"]
    assert clinic.exchange.count("AddOrder") == clinic.exchange.count("GetWebSocketsToken") == 0

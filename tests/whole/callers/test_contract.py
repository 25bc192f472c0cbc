"""What code that was written against earlier versions relies on: names, calls, the library.

Each test is written as a caller would write it, by the doors alone. What stands here never
changes: whoever finds that such a test must be altered is about to break somebody's program.
"""

import base64
import hashlib
import hmac
import importlib
import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock, patch

import pytest

import creds
import kraken_api
import ws_price_provider
from config import ConfigManager
from fake_kraken import FakeKraken
from kraken_api import KrakenAPI, WebSocketPriceProvider
from tests.kits.rest import rest_kit
from tests.kits.rest.rest_kit import Web
from ttslo import TTSLO
from validator import ConfigValidator, ValidationResult, format_validation_result

web = rest_kit.web  # a fixture

EMPTY = inspect.Parameter.empty
KRAKEN = "https://api.kraken.com"
SIGNATURES: list[tuple[Callable[..., Any], dict[str, object]]] = [
    (
        KrakenAPI,
        {"api_key": None, "api_secret": None, "base_url": KRAKEN, "use_websocket": True},
    ),
    (
        KrakenAPI.from_env,
        {"readwrite": False, "env_file": ".env", "base_url": KRAKEN, "use_websocket": True},
    ),
    (KrakenAPI._get_kraken_signature, {"urlpath": EMPTY, "data": EMPTY, "nonce": EMPTY}),
    (KrakenAPI._query_public, {"method": EMPTY, "params": None}),
    (KrakenAPI._query_private, {"method": EMPTY, "params": None}),
    (KrakenAPI.get_ticker, {"pair": EMPTY}),
    (KrakenAPI.get_current_price, {"pair": EMPTY}),
    (
        KrakenAPI.add_order,
        {"pair": EMPTY, "order_type": EMPTY, "direction": EMPTY, "volume": EMPTY},
    ),
    (
        KrakenAPI.add_trailing_stop_loss,
        {"pair": EMPTY, "direction": EMPTY, "volume": EMPTY, "trailing_offset_percent": EMPTY},
    ),
    (KrakenAPI.get_balance, {}),
    (KrakenAPI.get_trade_balance, {"asset": "ZUSD"}),
    (KrakenAPI.query_open_orders, {"trades": False, "userref": None}),
    (KrakenAPI.cancel_order, {"txid": EMPTY}),
    (KrakenAPI.edit_order, {"txid": EMPTY, "pair": None, "volume": None, "price": None}),
    (WebSocketPriceProvider.subscribe, {"pair": EMPTY}),
    (WebSocketPriceProvider.get_current_price, {"pair": EMPTY}),
    (
        ConfigManager,
        {"config_file": "config.csv", "state_file": "state.csv", "log_file": "logs.csv"},
    ),
    (ConfigManager.load_config, {}),
    (ConfigManager.load_state, {}),
    (ConfigManager.save_state, {"state": EMPTY}),
    (ConfigManager.log, {"level": EMPTY, "message": EMPTY}),
    (ConfigManager.create_sample_config, {"filename": "config_sample.csv"}),
    (ConfigManager.initialize_state_file, {}),
    (
        ConfigManager.update_config_on_trigger,
        {"config_id": EMPTY, "order_id": EMPTY, "trigger_time": EMPTY, "trigger_price": EMPTY},
    ),
    (ConfigValidator, {"kraken_api": None}),
    (ConfigValidator.validate_config_file, {"configs": EMPTY}),
    (ValidationResult.add_error, {"config_id": EMPTY, "field": EMPTY, "message": EMPTY}),
    (ValidationResult.add_warning, {"config_id": EMPTY, "field": EMPTY, "message": EMPTY}),
    (ValidationResult.is_valid, {}),
    (ValidationResult.has_warnings, {}),
    (format_validation_result, {"result": EMPTY, "verbose": False}),
    (
        TTSLO,
        {
            "config_manager": EMPTY,
            "kraken_api_readonly": EMPTY,
            "kraken_api_readwrite": None,
            "dry_run": False,
            "verbose": False,
            "debug": False,
        },
    ),
    (TTSLO.load_state, {}),
    (TTSLO.save_state, {}),
    (TTSLO.log, {"level": EMPTY, "message": EMPTY}),
    (TTSLO.check_threshold, {"config": EMPTY, "current_price": EMPTY}),
    (TTSLO.create_tsl_order, {"config": EMPTY, "trigger_price": EMPTY}),
    (TTSLO.process_config, {"config": EMPTY, "current_price": None}),
    (TTSLO.check_config_file_changed, {}),
    (TTSLO.validate_and_load_config, {}),
    (TTSLO.run_once, {}),
    (TTSLO.run_continuous, {"interval": 60}),
    (creds.load_env, {"env_file": ".env"}),
    (creds.get_env_var, {"name": EMPTY}),
    (creds.find_kraken_credentials, {"readwrite": False, "env_file": ".env"}),
]
TAKES_MORE = (KrakenAPI.add_order, KrakenAPI.add_trailing_stop_loss, KrakenAPI.edit_order)
TAKES_FIELDS = (ConfigManager.log, TTSLO.log)


@pytest.fixture
def api(exchange: FakeKraken) -> Iterator[KrakenAPI]:
    """Hand out a client with keys of the embedded exchange, without a stream."""
    with KrakenAPI(exchange.api_key, exchange.api_secret, exchange.rest_url, False) as client:
        yield client


# --- names and calls -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "arguments"), SIGNATURES, ids=[call.__qualname__ for call, _ in SIGNATURES]
)
def test_call_takes_its_arguments_by_place_and_by_name(
    call: Callable[..., Any], arguments: dict[str, object]
) -> None:
    """Order, names and defaults stay; what came later has a default, behind them."""
    found = list(inspect.signature(call).parameters.values())
    plain = [p for p in found if p.kind is p.POSITIONAL_OR_KEYWORD and p.name != "self"]
    assert {p.name: p.default for p in plain[: len(arguments)]} == arguments
    assert [p.name for p in plain[: len(arguments)]] == list(arguments)
    later = [*plain[len(arguments) :], *(p for p in found if p.kind is p.KEYWORD_ONLY)]
    assert [p.name for p in later if p.default is EMPTY] == []


@pytest.mark.parametrize("call", [*TAKES_MORE, *TAKES_FIELDS], ids=lambda call: call.__qualname__)
def test_call_takes_further_keywords(call: Callable[..., Any]) -> None:
    """Kraken's own parameters, and fields of a line of the log, are the caller's."""
    kinds = {parameter.kind for parameter in inspect.signature(call).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD in kinds


@pytest.mark.parametrize(
    "module", ["kraken_api", "ws_price_provider", "config", "validator", "ttslo", "creds"]
)
def test_module_is_imported_by_its_name(module: str) -> None:
    """Callers put the folder on their path and import the files."""
    assert importlib.import_module(module) is sys.modules[module]


def test_class_of_the_stream_is_one_by_both_names() -> None:
    """An `isinstance` with either name finds the same."""
    assert kraken_api.WebSocketPriceProvider is ws_price_provider.WebSocketPriceProvider
    assert kraken_api.WEBSOCKET_AVAILABLE is True
    provider = WebSocketPriceProvider("ws://127.0.0.1:9/v2")
    assert provider.connected is False
    assert len(provider.subscribed_pairs) == 0
    assert provider.get_current_price("XXBTZUSD") is None
    provider.stop()


def test_constructor_keeps_what_it_is_given_and_does_nothing() -> None:
    """It starts no thread, opens no socket (which would fail here), and looks up no keys."""
    with patch.dict("os.environ", {"KRAKEN_API_KEY": "k", "KRAKEN_API_SECRET": "cw=="}):
        before = threading.enumerate()
        api = KrakenAPI()
        assert threading.enumerate() == before
    assert (api.api_key, api.api_secret, api.base_url) == (None, None, KRAKEN)
    assert api.use_websocket is True
    given = KrakenAPI("key", "c2VjcmV0", "https://example.org", False)
    assert (given.api_key, given.api_secret) == ("key", "c2VjcmV0")
    assert (given.base_url, given.use_websocket) == ("https://example.org", False)


def test_stream_keywords_are_part_of_the_constructor() -> None:
    """`ws_url` and `ws_timeout` came later, with 2 seconds for a first price."""
    assert KrakenAPI().ws_timeout == 2.0
    api = KrakenAPI(ws_url="ws://127.0.0.1:9/v2", ws_timeout=0.5)
    assert (api.ws_url, api.ws_timeout) == ("ws://127.0.0.1:9/v2", 0.5)


def test_patch_of_the_flag_is_heard(exchange: FakeKraken) -> None:
    """Tests of callers switch the stream off so; prices then come over REST without an error."""
    exchange.set_price("XXBTZUSD", "50000.5")
    with (
        patch("kraken_api.WEBSOCKET_AVAILABLE", False),
        KrakenAPI(base_url=exchange.rest_url, ws_url=exchange.ws_url) as api,
    ):
        assert api.get_current_price("XXBTZUSD") == 50000.5
    assert exchange.ws_connections_made == 0


def test_patch_of_the_class_is_heard() -> None:
    """A provider that a caller's test puts in the place of ours is the one that is asked."""
    with patch("kraken_api.WebSocketPriceProvider") as stand_in:
        api = KrakenAPI()
        assert api.price_provider() is stand_in.shared.return_value


def test_mock_of_the_client_has_every_method_and_no_other() -> None:
    """`Mock(spec=KrakenAPI)` is what most tests of callers are made of."""
    mock = Mock(spec=KrakenAPI)
    for call, _ in SIGNATURES:
        owner, _, name = call.__qualname__.partition(".")
        if owner == "KrakenAPI" or hasattr(KrakenAPI, call.__name__):
            getattr(mock, name or "get_balance")()
    with pytest.raises(AttributeError):
        mock.no_such_method()


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("get_current_price", 51000.0),
        ("get_ticker", {"XXBTZUSD": {"c": ["51000.0", "1"]}}),
        ("get_balance", {"XXBT": "1.0"}),
        ("_query_public", {"error": [], "result": {}}),
        ("_query_private", {"error": [], "result": {}}),
        ("add_trailing_stop_loss", {"txid": ["O"]}),
    ],
)
def test_method_may_be_patched_on_the_class(method: str, answer: object) -> None:
    """`patch.object` on the class reaches instances that exist and that come."""
    earlier = KrakenAPI()
    with patch.object(KrakenAPI, method, return_value=answer):
        assert getattr(earlier, method)() == answer
        assert getattr(KrakenAPI(), method)() == answer


# --- the library -----------------------------------------------------------------------------


@pytest.mark.parametrize("readwrite", [False, True])
def test_from_env_finds_the_keys_that_creds_finds(
    readwrite: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading keys without the flag, trading keys with it."""
    monkeypatch.setenv("KRAKEN_API_KEY", "reads")
    monkeypatch.setenv("KRAKEN_API_SECRET", "cmVhZHM=")
    monkeypatch.setenv("KRAKEN_API_KEY_RW", "trades")
    monkeypatch.setenv("KRAKEN_API_SECRET_RW", "dHJhZGVz")
    api = KrakenAPI.from_env(readwrite=readwrite)
    assert (api.api_key, api.api_secret) == creds.find_kraken_credentials(readwrite=readwrite)
    assert api.api_key == ("trades" if readwrite else "reads")


def test_signature_is_that_of_krakens_page() -> None:
    """Base64 of HMAC-SHA512 over the path and the SHA-256 of nonce and body as sent."""
    secret = base64.b64encode(b"nobody's secret").decode()
    path, nonce = "/0/private/AddOrder", "1616492376594"
    body = f"nonce={nonce}&ordertype=limit&pair=XBTUSD"
    digest = hashlib.sha256(f"{nonce}{body}".encode()).digest()
    expected = hmac.new(b"nobody's secret", path.encode() + digest, hashlib.sha512).digest()
    found = KrakenAPI("key", secret)._get_kraken_signature(path, body, nonce)
    assert found == base64.b64encode(expected).decode()


def test_queries_answer_with_krakens_whole_dict(api: KrakenAPI) -> None:
    """`error` and `result`, as Kraken sent them."""
    assert set(api._query_public("Time")) >= {"error", "result"}
    answer = api._query_private("Balance", {})
    assert answer["error"] == []
    assert answer["result"] == api.get_balance()


def test_private_query_without_keys_says_what_is_missing(exchange: FakeKraken) -> None:
    """A ValueError, before anything is sent."""
    with (
        KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api,
        pytest.raises(ValueError, match="API key and secret required"),
    ):
        api._query_private("Balance")
    assert exchange.requests == []


def test_prices_are_floats_and_tickers_krakens_result(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Over REST; the stream's own tests ask the same of the stream."""
    exchange.set_price("XXBTZUSD", "50000.5")
    price = api.get_current_price("XXBTZUSD")
    assert (type(price), price) == (float, 50000.5)
    assert api.get_ticker("XXBTZUSD")["XXBTZUSD"]["c"][0] == "50000.5"


def test_no_price_to_be_had_is_an_exception(exchange: FakeKraken) -> None:
    """Never None, never a guess, never an old one."""
    with KrakenAPI(base_url=exchange.rest_url, use_websocket=False) as api:
        with pytest.raises(Exception, match=r"Kraken API error.*EQuery:Unknown asset pair"):
            api.get_current_price("NOSUCHPAIR")
        exchange.fault("error", text="EService:Unavailable", endpoint="Ticker")
        with pytest.raises(Exception, match="EService:Unavailable"):
            api.get_current_price("XXBTZUSD")


@pytest.mark.parametrize(
    ("pair", "words"),
    [("", "pair parameter is required"), (None, "pair"), (5, "pair must be a string")],
)
def test_pair_that_is_none_is_named(pair: Any, words: str) -> None:
    """Empty or not text is the caller's mistake, told before anything is sent."""
    with pytest.raises(ValueError, match=words):
        KrakenAPI().get_current_price(pair)


GOOD: dict[str, Any] = {
    "pair": "XXBTZUSD",
    "direction": "sell",
    "volume": "0.01",
    "trailing_offset_percent": 5.0,
}


@pytest.mark.parametrize(
    ("argument", "value", "words"),
    [
        *(("pair", value, "pair parameter is required") for value in ("", None)),
        *(("pair", value, "pair must be a string") for value in (5, ["XBTUSD"])),
        *(
            ("direction", value, "direction must be 'buy' or 'sell'")
            for value in ("", None, "hold", 1)
        ),
        *(("volume", value, "volume") for value in ("", None, "much", "nan", "inf")),
        *(("volume", value, "volume must be positive") for value in (0, -1, "-0.5")),
        *(("trailing_offset_percent", value, "trailing_offset") for value in ("", None, "x")),
        *(
            ("trailing_offset_percent", value, "trailing_offset_percent must be positive")
            for value in (0, -5, "-5.0")
        ),
    ],
)
def test_order_names_the_argument_that_is_wrong(
    api: KrakenAPI, exchange: FakeKraken, argument: str, value: object, words: str
) -> None:
    """A ValueError with the words that callers look for, and nothing is sent."""
    with pytest.raises(ValueError, match=words):
        api.add_trailing_stop_loss(**{**GOOD, argument: value})
    assert exchange.count("AddOrder") == 0


def test_trailing_stop_is_placed_with_krakens_words(api: KrakenAPI, exchange: FakeKraken) -> None:
    """Kraken's result comes back; a trailing stop is a price in percent with a sign."""
    exchange.set_price("XXBTZUSD", "50000")
    result = api.add_trailing_stop_loss("XXBTZUSD", "sell", "0.01", 5.0, userref=7)
    (sent,) = (r.params for r in exchange.requests if r.endpoint == "AddOrder")
    assert (sent["ordertype"], sent["type"], sent["volume"]) == ("trailing-stop", "sell", "0.01")
    assert (sent["price"], sent["userref"]) == ("+5.0%", "7")
    (txid,) = result["txid"]
    assert txid in api.query_open_orders(trades=True)["open"]
    assert txid in api.query_open_orders(userref=7)["open"]
    assert api.cancel_order(txid)["count"] == 1
    assert api.query_open_orders()["open"] == {}


def test_other_orders_and_balances_answer_with_the_result(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Any of Kraken's orders, and the two balances."""
    exchange.set_price("XXBTZUSD", "50000")
    assert api.add_order("XXBTZUSD", "limit", "sell", "0.01", price="60000")["txid"]
    assert "XXBT" in api.get_balance()
    assert isinstance(api.get_trade_balance(), dict)


@pytest.mark.parametrize("txid", ["", None])
def test_order_without_its_id_is_refused(api: KrakenAPI, exchange: FakeKraken, txid: Any) -> None:
    """Both calls that change an order want to know which one."""
    with pytest.raises(ValueError, match="txid parameter is required"):
        api.cancel_order(txid)
    with pytest.raises(ValueError, match="txid parameter is required"):
        api.edit_order(txid, volume="1")
    assert exchange.requests == []


def test_error_of_kraken_is_an_exception_with_its_words(
    api: KrakenAPI, exchange: FakeKraken
) -> None:
    """Callers look for both."""
    with pytest.raises(Exception, match=r"Kraken API error.*EOrder:"):
        api.cancel_order("OAAAAA-BBBBB-CCCCCC")
    with pytest.raises(Exception, match=r"Kraken API error"):
        api.edit_order("OAAAAA-BBBBB-CCCCCC", "XXBTZUSD", "0.02", "1", leverage="2")
    assert exchange.count("CancelOrder") == 1


@pytest.mark.parametrize("status", [404, 500])
def test_answer_with_a_bad_status_names_it(web: Web, status: int) -> None:
    """`HTTP 500` and `HTTP 404` stand in the text."""
    web.on("Balance", (status, "<html>no</html>"))
    with pytest.raises(Exception, match=f"HTTP {status}"):
        KrakenAPI("key", rest_kit.SECRET, timeouts=rest_kit.QUICK).get_balance()


@pytest.mark.parametrize("variable", ["KRAKEN_SPOT_URL", "KRAKEN_WS_PUBLIC_URL"])
@pytest.mark.parametrize("host", ["example.org", "192.168.0.2"])
def test_address_of_the_environment_without_tls_is_for_this_machine(
    variable: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback may do without; anything else is refused with a word on what to write."""
    scheme = "ws" if "WS" in variable else "http"
    monkeypatch.setenv(variable, f"{scheme}://127.0.0.1:8080")
    assert f"{scheme}://127.0.0.1:8080" in (KrakenAPI().base_url, KrakenAPI().ws_url)
    monkeypatch.setenv(variable, f"{scheme}://{host}")
    with pytest.raises(ValueError, match=f"{scheme}s?://"):
        KrakenAPI()

"""The errors: facts in attributes, a sentence in the text, one tree."""

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Callable

import pytest

import krakenlink
from krakenlink.errors import (
    ArgumentError,
    AuthenticationError,
    KrakenAPIError,
    KrakenConnectionError,
    KrakenError,
    KrakenTimeout,
    KrakenTransportError,
    OrderRejected,
    PriceUnavailable,
    ProtocolError,
    RateLimitError,
)
from krakenlink.pairs import AmbiguousPair, UnknownPair
from krakenlink.rest.answers import too_many
from krakenlink.rest.verdicts import OutcomeKind, Verdict, verdict_of


def test_api_error_speaks_krakens_words() -> None:
    """The text holds `Kraken API error`, the call, and all of Kraken's strings."""
    error = KrakenAPIError("AddOrder", ["EOrder:A", "EOrder:B"])
    assert str(error) == "Kraken API error on AddOrder: EOrder:A, EOrder:B"
    assert (error.endpoint, error.errors, error.cure) == ("AddOrder", ("EOrder:A", "EOrder:B"), "")


def test_api_error_ends_with_its_cure() -> None:
    """Where something can be done about it, the text says what."""
    verdict = Verdict(OutcomeKind.REFUSED, False, AuthenticationError, "Check the key.")
    error = KrakenAPIError("Balance", iter(["EAPI:Invalid key"]), verdict)
    assert error.said == "Kraken API error on Balance: EAPI:Invalid key"
    assert str(error) == f"{error.said}. Check the key."


def test_api_error_without_words_says_so() -> None:
    """An empty list of reasons still gives a sentence."""
    assert str(KrakenAPIError("Time", [])) == "Kraken API error on Time: no reason given"


def test_transport_error_says_whether_the_request_was_sent() -> None:
    """The fact that decides about an order is an attribute, and must be given."""
    error = KrakenTimeout("AddOrder: no answer", request_sent=True)
    assert error.request_sent
    assert str(error) == "AddOrder: no answer"


def test_missing_price_names_the_pair_and_its_age() -> None:
    """Who asked for a price learns for what, why not, and how old the last proof is."""
    error = PriceUnavailable("BTC/USD", "the link is silent", 3.5)
    assert str(error) == "No price for BTC/USD: the link is silent"
    assert (error.pair, error.reason, error.age) == ("BTC/USD", "the link is silent", 3.5)
    assert PriceUnavailable("BTC/USD", "never seen").age is None


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        (KrakenAPIError, KrakenError),
        (AuthenticationError, KrakenAPIError),
        (RateLimitError, KrakenAPIError),
        (OrderRejected, KrakenAPIError),
        (KrakenTransportError, KrakenError),
        (KrakenTimeout, KrakenTransportError),
        (KrakenConnectionError, KrakenTransportError),
        (ProtocolError, KrakenError),
        (PriceUnavailable, KrakenError),
    ],
)
def test_errors_form_one_tree(child: type[Exception], parent: type[Exception]) -> None:
    """Whoever catches the parent catches the child."""
    assert issubclass(child, parent)


@pytest.mark.parametrize("refused", [AuthenticationError, RateLimitError, OrderRejected])
def test_refused_is_never_unknown(refused: type[Exception]) -> None:
    """The two halves of the tree share nothing but the root."""
    assert not issubclass(refused, KrakenTransportError | ProtocolError)


def test_refusal_survives_a_process_border() -> None:
    """What Kraken said and what it means travel together."""
    said = ["EOrder:Insufficient funds"]
    error = OrderRejected("AddOrder", said, verdict_of(said))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.verdict) == (OrderRejected, str(error), error.verdict)


def test_protocol_error_survives_a_process_border() -> None:
    """A plain error can be pickled, as worker pools do."""
    assert str(pickle.loads(pickle.dumps(ProtocolError("HTML")))) == "HTML"


EVERY_ERROR: list[Exception] = [
    KrakenError("plain"),
    KrakenAPIError("AddOrder", ["EOrder:x"], verdict_of(["EOrder:x"]), status=503, result={"a": 1}),
    too_many("Ticker", 7.0),
    OrderRejected("AddOrder", ["EOrder:Insufficient funds"]),
    AuthenticationError("Balance", ["EAPI:Invalid key"]),
    KrakenTransportError("lost", request_sent=True),
    KrakenTimeout("AddOrder: no answer", request_sent=True),
    KrakenConnectionError("refused", request_sent=False),
    ProtocolError("odd"),
    PriceUnavailable("BTC/USD", "none", 3.0),
    ArgumentError("volume must be positive"),
    UnknownPair("Kraken has no pair"),
    AmbiguousPair("two of them"),
]


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_error_travels_between_processes(
    error: Exception, copied: Callable[[Exception], Exception]
) -> None:
    """With its class, its sentence and every attribute: a pool of processes hangs otherwise."""
    there = copied(error)
    assert type(there) is type(error)
    assert (str(there), there.args, vars(there)) == (str(error), error.args, vars(error))


def all_errors(kind: type[KrakenError] = KrakenError) -> list[type[KrakenError]]:
    """Return every class of the tree that is loaded."""
    return [kind, *(one for below in kind.__subclasses__() for one in all_errors(below))]


def test_no_error_of_the_library_stays_at_home() -> None:
    """Those of rooms further up too, however they are made: as they are."""
    for module in pkgutil.walk_packages(krakenlink.__path__, "krakenlink."):
        importlib.import_module(module.name)
    ours = [kind for kind in all_errors() if kind.__module__.startswith("krakenlink")]
    assert len(ours) > len(EVERY_ERROR) - 3
    for kind in ours:
        error = kind.__new__(kind, "said")
        error.__dict__.update(request_sent=True, endpoint="Time", pair="BTC/USD", at_least=3.0)
        there = pickle.loads(pickle.dumps(error))
        assert (type(there), there.args, vars(there)) == (kind, error.args, vars(error))


def test_error_of_a_callers_own_class_travels_too() -> None:
    """Whatever its constructor takes."""
    there = pickle.loads(pickle.dumps(OwnError(note="a note")))
    assert (there.note, there.request_sent) == ("a note", True)


class OwnError(KrakenTimeout):
    """A caller's error."""

    def __init__(self, *, note: str) -> None:
        self.note = note
        super().__init__(f"it says {note}", request_sent=True)

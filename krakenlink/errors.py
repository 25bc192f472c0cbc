"""Every error that the library raises, in one tree.

The split that matters to somebody with money at stake is *refused* against *unknown*: after a
`KrakenAPIError` Kraken has said no, after a `KrakenTransportError` or a `ProtocolError` nobody
knows. Only the unknown can leave an order behind. Facts go in attributes, the sentence in
`__str__`; no secret, signature or private body is ever part of either.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from krakenlink import rest
from krakenlink.foreign import shown, without_login


class KrakenError(Exception):
    """Base of every error of this library. Each travels between processes with its attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The usual way calls the class with `args`, which not every constructor here takes.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[KrakenError], args: tuple[Any, ...], facts: dict[str, Any]) -> KrakenError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class KrakenAPIError(KrakenError):
    """Kraken answered, and the answer is an error.

    Attributes:
        endpoint: Kraken's name of the call, such as `AddOrder`.
        errors: Kraken's own strings, such as `EOrder:Insufficient funds`.
        verdict: What they mean, as the table of them says; None where nobody has looked it up.
        status: The HTTP status; Kraken's own errors come with 200.
        result: What stood beside the errors; None where nothing did.
        hint: A sentence that helps here, in place of the table's; empty where there is none.
    """

    def __init__(
        self,
        endpoint: str,
        errors: Iterable[str],
        verdict: rest.Verdict | None = None,
        *,
        status: int = 200,
        result: object = None,
    ) -> None:
        self.endpoint = endpoint
        self.errors = tuple(errors)
        self.verdict = verdict
        self.status = status
        self.result = result
        self.hint = ""
        super().__init__(endpoint, self.errors)

    @property
    def cure(self) -> str:
        """What the person can do about it; empty where nothing is known."""
        if self.hint or self.verdict is None:
            return self.hint
        return self.verdict.cure_for(self.endpoint)

    @property
    def said(self) -> str:
        """The sentence without its cure, for those who tell that apart."""
        said = shown(", ".join(self.errors)) or "no reason given"
        status = f" (HTTP {self.status})" if self.status != 200 else ""
        return f"Kraken API error on {self.endpoint}{status}: {said}"

    def __str__(self) -> str:
        return f"{self.said}. {self.cure}" if self.cure else self.said


class AuthenticationError(KrakenAPIError):
    """The key, its signature, its nonce or its permissions were refused."""


class RateLimitError(KrakenAPIError):
    """Too many calls; Kraken wants a pause.

    Attributes:
        retry_after: Seconds that it asks for, bounded; None where it does not say.
    """

    retry_after: float | None = None


class OrderRejected(KrakenAPIError):
    """Kraken's matching engine refused the order: it was certainly not placed."""


class KrakenTransportError(KrakenError):
    """No reliable answer came back.

    Attributes:
        request_sent: False only where it is certain that no byte of the request left this
            machine; True means that Kraken may have acted on it.
    """

    def __init__(self, message: str, *, request_sent: bool) -> None:
        self.request_sent = request_sent
        super().__init__(message)


class KeyDeposed(KrakenTransportError):
    """A later start elsewhere has taken the exclusive key over: nothing was sent, nor will be."""

    def __init__(self) -> None:
        super().__init__(
            "another program has taken over this exclusive key; nothing was sent",
            request_sent=False,
        )


class KrakenTimeout(KrakenTransportError):
    """A connect or read deadline passed."""


class KrakenConnectionError(KrakenTransportError):
    """The connection could not be made, was cut, or the edge answered in Kraken's place."""


class GatewayError(KrakenConnectionError):
    """Something on the way answered in Kraken's place; Kraken may have acted all the same."""


class ProtocolError(KrakenError):
    """Kraken, or something between, sent what cannot be read as Kraken's protocol."""


class PriceUnavailable(KrakenError):
    """There is no price that can be proven to be alive.

    Attributes:
        pair: The pair as the caller spelled it.
        age: Seconds since the price was last proven; None where there never was a proof.
    """

    def __init__(self, pair: str, reason: str, age: float | None = None) -> None:
        self.pair = pair
        self.age = age
        self.reason = reason
        super().__init__(pair, reason, age)

    def __str__(self) -> str:
        return f"No price for {shown(self.pair, 40)}: {self.reason}"


def unusable_proxy(proxy: str, environment: Mapping[str, str], cure: str) -> str:
    """Return the sentence about a proxy that cannot be used: who names it, and what helps.

    Args:
        proxy: Its address; a name or password in it is left out.
        environment: Where it comes from, as far as it does.
        cure: What the person can do about it.
    """
    names = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
    named = [name for name in names if environment.get(name) == proxy]
    address = shown(without_login(proxy), 100)
    return f"{named[0] if named else 'the system'} names the proxy {address}, {cure}"


class ArgumentError(ValueError):
    """An argument that was refused before anything was sent: certainly no order."""

"""Names, and depths of books, that are known without asking Kraken: each fact in one table.

Pure. Nothing here decides a trade: whatever trades is resolved by Kraken's own listing, and these
names help where it cannot be had. It must never guess one: `XTZ` and `ZRX` are no old ids.

Source: Kraken, REST AssetPairs and Assets, spot WebSocket v2 (read 2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator

DEPTHS = (10, 25, 100, 500, 1000)
"""The depths that Kraken streams, in levels on each side."""

RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
"""The only two assets that WebSocket v2 calls otherwise than REST and WebSocket v1 do."""

# Kraken's four-letter ids: X before what was a coin, Z before what was a currency, in the days
# when there were few of them. No later asset has such an id.
_OLD_IDS = {
    f"{kind}{name}": name
    for kind, names in (
        ("X", "ETC ETH LTC MLN REP XBT XDG XLM XMR XRP ZEC"),
        ("Z", "AUD CAD EUR GBP JPY USD"),
    )
    for name in names.split()
}

# Pairs of that time are keyed by both ids, later ones of the same assets are not (`ETHUSDT`), so
# the pairs are listed too: base id, then its quote ids.
_OLD_PAIRS = {
    "XXBT": "ZUSD ZEUR ZGBP ZCAD ZJPY",
    "XETH": "ZUSD ZEUR ZGBP ZCAD ZJPY XXBT",
    "XLTC": "ZUSD ZEUR XXBT",
    "XXRP": "ZUSD ZEUR ZCAD ZJPY XXBT",
    "XETC": "ZUSD ZEUR XXBT XETH",
    "XXLM": "ZUSD ZEUR XXBT",
    "XXMR": "ZUSD ZEUR XXBT",
    "XZEC": "ZUSD ZEUR XXBT",
    "XXDG": "XXBT",
    "ZEUR": "ZUSD",
    "ZGBP": "ZUSD",
    "ZUSD": "ZCAD ZJPY",
}

# Dogecoin came to the currencies late, under its short name.
_SHORT_PAIRS = {"XDGUSD": ("XXDG", "ZUSD"), "XDGEUR": ("XXDG", "ZEUR")}

# A name of two of these is taken for a pair where nobody can be asked.
_WELL_KNOWN_BASES = (
    "AAVE ADA ALGO APT ARB ATOM AVAX BCH BNB BONK BTC COMP CRV DAI DOGE DOT EIGEN ENA ETC ETH EUR "
    "FET FIL FLOKI FLOW GBP GRT HBAR HYPE ICP IMX INJ JUP KAS KSM LDO LINK LTC MANA MATIC MINA "
    "MKR MNT NEAR OP ONDO PAXG PEPE POL PYTH QNT RENDER RUNE SAND SEI SHIB SNX SOL STX SUI SUSHI "
    "TAO TIA TON TRUMP TRX UNI USDC USDG USDT WIF WLD XLM XMR XRP XTZ YFI ZEC"
)
_WELL_KNOWN_QUOTES = "USD EUR GBP CAD AUD CHF JPY USDT USDC BTC ETH DAI"


def asset_name(code: str) -> str:
    """Return one name for an asset, whichever of its codes is given: `XXBT` and `XBT` are `BTC`."""
    name = _OLD_IDS.get(code.upper(), code.upper())
    return RENAMED.get(name, name)


def old_rows() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the oldest pairs as rows of AssetPairs: key and cells, without numbers.

    Their names have not changed in ten years; their decimals and minimums do.
    """
    listed = ((f"{b}{q}", b, q) for b, quotes in _OLD_PAIRS.items() for q in quotes.split())
    short = ((key, base, quote) for key, (base, quote) in _SHORT_PAIRS.items())
    for key, base, quote in (*listed, *short):
        yield key, _cells(base, quote, _OLD_IDS[base], _OLD_IDS[quote])


def well_known_rows() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield what may well be pairs as rows of AssetPairs; not every one of them is."""
    first_name = {new: old for old, new in RENAMED.items()}
    for base in _WELL_KNOWN_BASES.split():
        for quote in _WELL_KNOWN_QUOTES.split():
            if base != quote:
                legs = first_name.get(base, base), first_name.get(quote, quote)
                yield "".join(legs), _cells(*legs, *legs)


def _cells(base: str, quote: str, base_name: str, quote_name: str) -> dict[str, str]:
    wsname, altname = f"{base_name}/{quote_name}", f"{base_name}{quote_name}"
    return {"altname": altname, "wsname": wsname, "base": base, "quote": quote}

"""`ttslo store init`: makes what several hosts share, once, and gives an account its key.

What it must never do: make a key one program's alone without its owner's word, or begin an account
anew that is there already: its nonces would count from the beginning again.
"""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from kraken_api import KrakenAPI
from krakenlink.errors import KrakenAPIError, KrakenError
from ttslo_app.cluster.records import Keys, Lead, cluster_text, lead_text
from ttslo_app.cluster.store import Change, Store
from ttslo_app.hosts import store_words as words
from ttslo_app.hosts import stores
from ttslo_app.hosts.stores import CODES, DONE, NOT_DONE, PATIENCE, WRONG, NotMade
from ttslo_app.run.exclusive import CONSENT, ask_person
from ttslo_app.terminal import Parser, env_file, put, put_trouble


def parser() -> Parser:
    """Return the flags of the command."""
    made = Parser(prog="ttslo store", description="What several hosts share.")
    words_of = made.add_subparsers(dest="word", required=True, parser_class=Parser)
    init = words_of.add_parser(
        "init",
        help="make a cluster and an account in a store",
        description="Makes a cluster in an etcd store, and an account in it. Says what is there "
        "where it was made before, and changes nothing then.",
        epilog=CODES,
    )
    stores.add_flags(init)
    init.add_argument(CONSENT, action="store_true", help="do not ask about the account's key")
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command, `argv` being what follows its word, and return its exit code. Blocks."""
    made = parser()
    options = made.parse_args(argv)
    return stores.run(made, lambda: _init(options))


def _init(options: argparse.Namespace) -> int:
    with stores.opened(options) as (store, keys):
        made_id = stores.cluster_id(store, keys)
        known = None if made_id is None else store.get(keys.lead, patience=PATIENCE)
        if known is not None:
            lead, _ = stores.lead_of(store, keys)
            put(words.was_made(keys.cluster, str(made_id), keys.account, lead.epoch))
            return DONE
        trading = stores.trading_of(keys.account, env_file(options))
        if not ask_person(options.yes_this_key_is_ttslos_alone, words.question(keys.account)):
            put_trouble(words.no_consent(CONSENT))
            return WRONG
        if trading.has_keys:
            trouble = trouble_with(trading)
            if trouble:
                put_trouble(words.cannot(trouble))
                return NOT_DONE
        _make(store, keys, is_new=made_id is None)
        put(words.was_made(keys.cluster, str(stores.cluster_id(store, keys)), keys.account, 0))
        put(words.KEY_TESTED if trading.has_keys else words.KEY_UNTESTED)
        return DONE


def trouble_with(trading: KrakenAPI) -> str:
    """See whether Kraken takes nonces of the first epoch of this key. Blocks for one call.

    Returns:
        Why it does not, or why nobody knows; empty where it does. The key is the cluster's alone
        from then on.
    """
    try:
        trading.gate.reign(Lead(0, "", "", "").nonce_base)
        trading.query_open_orders()
    except KrakenAPIError as error:
        if any("Invalid nonce" in text for text in error.errors):
            return words.nonce_refused(error.said)
        # What is said of rights comes after the nonce was taken; a program needs this right.
        return words.key_refused(error.said)
    except KrakenError as error:
        return words.key_not_asked(str(error))
    except ValueError as error:
        return words.nonce_refused(str(error))
    return ""


def _make(store: Store, keys: Keys, *, is_new: bool) -> None:
    """Write down cluster and account, whole or not at all. Blocks."""
    since = datetime.now(UTC).isoformat(timespec="seconds")
    vacant = lead_text(Lead(0, "", since, secrets.token_hex(8)))
    rests_on, puts = {keys.lead: 0}, {keys.lead: vacant}
    if is_new:
        rests_on[keys.format] = 0
        puts[keys.format] = cluster_text(secrets.token_hex(16), secrets.token_hex(8))
    if not store.commit(Change(rests_on, puts), patience=PATIENCE).is_done:
        raise NotMade(words.OTHERS_CHANGED)

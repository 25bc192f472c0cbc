"""`ttslo handover`: lets another host lead an account, as before a machine is restarted.

What it must never do: say that another leads before the store says so.
"""

from __future__ import annotations

import argparse
import secrets
import time
from collections.abc import Sequence

from krakenlink.machine import feed_clock
from ttslo_app.cluster.records import Keys, Lead, dumped
from ttslo_app.cluster.store import Change, Store
from ttslo_app.hosts import store_words as words
from ttslo_app.hosts import stores
from ttslo_app.hosts.stores import CODES, DONE, NOT_DONE, PATIENCE, signs_of_life
from ttslo_app.terminal import Parser, put, put_trouble

# Whoever leads ends the orders that are on their way before it gives the lead away.
_LONGEST = 30.0
_LOOK = 0.02


def parser() -> Parser:
    """Return the flags of the command."""
    made = Parser(
        prog="ttslo handover",
        description="Asks the host that leads an account to let another one lead, and waits until "
        "it does.",
        epilog=CODES,
    )
    stores.add_flags(made)
    return made


def main(argv: Sequence[str]) -> int:
    """Run the command, `argv` being what follows its word, and return its exit code. Blocks."""
    made = parser()
    options = made.parse_args(argv)
    return stores.run(made, lambda: _hand_over(options))


def _hand_over(options: argparse.Namespace) -> int:
    with stores.opened(options) as (store, keys):
        lead, fence = stores.lead_of(store, keys)
        alive = signs_of_life(store, [keys])
        others = {key for key in alive if key.startswith(keys.hosts)} - {keys.host(lead.host)}
        trouble = ""
        if not lead.host:
            trouble = words.nobody_leads(keys.account)
        elif keys.beat not in alive:
            trouble = words.leader_is_silent(lead.host)
        elif not others:
            trouble = words.nobody_stands_by(lead.host)
        if trouble:
            put_trouble(words.cannot(trouble))
            return NOT_DONE
        return _asked(store, keys, lead, fence)


def _asked(store: Store, keys: Keys, lead: Lead, fence: int) -> int:
    """Put the wish, and wait for another lead. Blocks."""
    wish = dumped({"token": secrets.token_hex(8)})
    began = feed_clock()
    answer = store.commit(Change({keys.lead: fence}, {keys.handover: wish}), patience=PATIENCE)
    while answer.is_done and feed_clock() - began < _LONGEST:
        now, version = stores.lead_of(store, keys)
        if version != fence and now.host:
            seconds = feed_clock() - began
            if now.host == lead.host:
                put_trouble(words.took_it_back(now.host))
                return NOT_DONE
            put(words.handed_over(lead.host, now.host, seconds))
            return DONE
        time.sleep(_LOOK)
    put_trouble(words.cannot(words.not_handed_over(lead.host)))
    return NOT_DONE

"""The flags of the command line, and which of them do not go together."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from krakenlink import VERSION
from ttslo_app.commands import table, words
from ttslo_app.hosts import words as hosts_words
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.signs.beat import add_flags as add_sign_flags
from ttslo_app.signs.page import add_flags as add_web_flags
from ttslo_app.signs.page import stray_flag
from ttslo_app.signs.telling import FLAGS, add_flags
from ttslo_app.terminal import ENV_FILE, Parser, seconds_of

# What is for hosts that share a store, and what such a host has otherwise or cannot do.
_OF_HOSTS = ("account", "standby_after", "end_with_stdin")
_NOT_OF_HOSTS = (
    *("config", "dry_run", "once", "exclusive_key", "yes_this_key_is_ttslos_alone"),
    *("create_sample_config", "validate_config", "web_actions"),
)
# What the demo lets its user choose; it has an exchange and files of its own.
_OF_THE_DEMO = frozenset({"demo", "replay", "verbose", "debug", *FLAGS})


def options_from(given: Sequence[str]) -> argparse.Namespace:
    """Return what the arguments ask for.

    Raises:
        SystemExit: With 2 where a flag is unknown, lacks its value, or does not go with another,
            after a sentence that says so; with 0 after `--help` and `--version`.
    """
    parser = _parser()
    if given and given[0] and not given[0].startswith("-"):
        parser.error(table.unknown(given[0]))
    options = parser.parse_args(given)
    if options.replay and not options.demo:
        parser.error("--replay needs --demo")
    if options.live and options.log_format == "json":
        parser.error("--live draws for people, --log-format json is for programs; leave one out")
    if options.exclusive_key and options.dry_run:
        parser.error("--dry-run uses no trading key, so leave --exclusive-key out")
    if stray := stray_flag(options):
        parser.error(stray)
    if options.demo:
        _refuse_beside_demo(parser, options)
    elif options.store:
        _refuse_beside_store(parser, options)
    for name in () if options.store else _OF_HOSTS:
        if _is_given(parser, options, name):
            parser.error(hosts_words.needs_store(f"--{name.replace('_', '-')}"))
    return options


def command() -> str:
    """Return how the user starts this program, as `ttslo` or `python ttslo.py`."""
    main_module = sys.modules.get("__main__")
    is_module = getattr(getattr(main_module, "__spec__", None), "name", "") == "ttslo"
    return words.command_of(sys.argv[0], is_module=is_module)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=command(),
        description="Places a trailing stop at Kraken the moment a price crosses your threshold.",
        epilog=table.listing(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--config", default="config.csv", help="the rules (default: %(default)s)")
    add("--state", default="state.csv", help="what became of them (default: %(default)s)")
    add("--log", default="logs.csv", help="what the program did (default: %(default)s)")
    add("--dry-run", action="store_true", help="place nothing, write only the log; needs no keys")
    add("--verbose", action="store_true", help="print warnings of the validation and more")
    add("--debug", action="store_true", help="print everything")
    add("--once", action="store_true", help="look at every row once, then end")
    add("--interval", type=seconds_of, default=60.0, metavar="SECONDS",
        help="between two looks at pairs that do not stream (default: 60)")  # fmt: skip
    add("--no-websocket", action="store_true", help="ask for prices and orders over REST only")
    add("--when-blind", choices=[str(one) for one in WhenBlind], default=WhenBlind.ARM_IF_BEYOND,
        metavar="POLICY", help="a threshold that was crossed while nobody could see it, for rows "
        "whose when_blind is empty: arm-if-beyond places the order if the price is still beyond "
        "it, always places it anyway, notify only says so (default: %(default)s)")  # fmt: skip
    add("--metrics-port", type=int, metavar="PORT",
        help="serve /metrics and /healthz on this machine; needs prometheus-client")  # fmt: skip
    add_flags(add)
    add_sign_flags(add)
    add_web_flags(add)
    _add_shared_flags(add)
    add("--strict", action="store_true", help="end with 1 if any row is refused")
    add("--create-sample-config", action="store_true", help="write config_sample.csv, then end")
    add("--validate-config", action="store_true", help="check the rules, then end")
    add("--env-file", metavar="FILE", help=f"where keys may stand (default: {ENV_FILE})")
    add("--demo", action="store_true", help="show the whole thing on an exchange of its own")
    add("--replay", metavar="FILE", help="with --demo: prices from FILE, a row a minute: "
        "timestamp,open,high,low,close,volume")  # fmt: skip
    add("--version", action="version", version=f"ttslo {VERSION}")
    return parser


def _add_shared_flags(add: Callable[..., object]) -> None:
    """Add the flags of who has the trading key, where several might use it."""
    add("--exclusive-key", action="store_true", help="have Kraken refuse every other program that "
        "uses the trading key, wherever it runs; there is no way back for the key")  # fmt: skip
    add("--yes-this-key-is-ttslos-alone", action="store_true",
        help="agree to that, the first time")  # fmt: skip
    add("--store", metavar="URL", help="lead an account or stand by for it: rows and lives are in "
        "a store that several hosts share, as etcds://A:2379,B:2379,C:2379/NAME")  # fmt: skip
    add("--account", default="main", metavar="NAME",
        help="with --store: the account, one trading key (default: %(default)s)")  # fmt: skip
    add("--standby-after", type=seconds_of, default=3.0, metavar="SECONDS",
        help="with --store: take over once the leader is silent so long (default: 3)")  # fmt: skip
    add("--end-with-stdin", action="store_true", help="with --store: end in good order once the "
        "standard input ends, as it does with whoever started the program")  # fmt: skip


def _is_given(parser: argparse.ArgumentParser, options: argparse.Namespace, name: str) -> bool:
    given: bool = getattr(options, name) != parser.get_default(name)
    return given


def _refuse_beside_store(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with 2 where a flag would be passed over, or would do something else."""
    for name in _NOT_OF_HOSTS:
        if _is_given(parser, options, name):
            parser.error(hosts_words.stands_beside(f"--{name.replace('_', '-')}"))


def _refuse_beside_demo(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with 2 where a flag would be passed over: nobody may take the demo for a run on it."""
    for name in vars(options):
        if name not in _OF_THE_DEMO and _is_given(parser, options, name):
            flag = f"--{name.replace('_', '-')}"
            parser.error(
                f"--demo has an exchange and files of its own and does not use {flag}; leave one "
                "of the two out"
            )

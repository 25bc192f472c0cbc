"""The command line: from arguments to exit codes and signals."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import creds
from kraken_api import KrakenAPI
from krakenlink import VERSION
from krakenlink.foreign import shown
from krakenlink.stream.settings import FeedSettings
from ttslo_app.commands import words
from ttslo_app.commands.flags import command, options_from
from ttslo_app.commands.table import dispatch
from ttslo_app.environment import unknown_names
from ttslo_app.face.voice import Console, SpokenHandler, folded, is_fit_to_show, width_of
from ttslo_app.face.web.words import page_at
from ttslo_app.messages import Sentence, tell
from ttslo_app.orders.life import OrderSettings, settings_from
from ttslo_app.rules.checks import ConfigValidator
from ttslo_app.rules.findings import format_validation_result
from ttslo_app.rules.price_checks import complete_prices
from ttslo_app.rules.rule import WhenBlind
from ttslo_app.run.by_hand import Hands, door_of
from ttslo_app.run.ending import Ending, HungUp, code_of, end_at_once_on_signals
from ttslo_app.run.exclusive import Exclusive, ask_person
from ttslo_app.run.loader import many_objects
from ttslo_app.run.parts import Options
from ttslo_app.run.program import Program, is_alone, keeping_journal
from ttslo_app.run.saving import wait_for_whole_file
from ttslo_app.run.words import ended_hard
from ttslo_app.signs.beat import Signs, signs_from
from ttslo_app.signs.page import server_from, serving
from ttslo_app.signs.snapshots import snapshot_path
from ttslo_app.signs.telling import exposed_files, telling_from
from ttslo_app.store.disk import Disk
from ttslo_app.store.lock import AlreadyRunning, StateLock
from ttslo_app.store.manager import ConfigManager
from ttslo_app.store.place import check_replaceable, exposure, refuse_same, second_name
from ttslo_app.terminal import ENV_FILE, env_file

# `--once` waits this long for orders whose outcome is unknown; the next run settles the rest.
_ONCE_PATIENCE = 45.0
_LONGEST_WORDS = 2000
# Whoever starts a program wonders after so many seconds without a word.
_SILENCE = 1.5
_CONSOLE = Console()


def main(
    argv: Sequence[str] | None = None,
    *,
    step: Callable[[str], None] = lambda name: None,
    disk: Disk | None = None,
) -> int:
    """Run the command line and return its exit code: 0 done, 1 cannot run, 2 bad flag.

    `step` and `disk` are for tests that end or hinder the program at one of its steps.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    code = dispatch(given)
    if code is not None:
        return code
    if any(one.partition("=")[0] == "--accounts" for one in given):
        from ttslo_app.hosts import accounts  # here, for hosts of several accounts alone

        return accounts.main(given)
    options = options_from(given)
    configure_logging(options)
    return guarded(lambda: _choose(options, step, disk))


def _choose(options: argparse.Namespace, step: Callable[[str], None], disk: Disk | None) -> int:
    if options.demo:
        from ttslo_app.commands.demo import (
            run_demo,  # its exchange needs the `demo` extra, nobody else does
        )

        return run_demo(options.replay, telling=telling_from(options), console=_CONSOLE)
    if options.store:
        from ttslo_app.hosts.standby import run as run_host  # for hosts that share a store alone

        return run_host(options, _wanted(options, step), give_signs)
    return _run(options, step, disk)


def guarded(work: Callable[[], int]) -> int:
    """Do what a command line asks for, and say in one sentence why it cannot be done."""
    try:
        return work()
    except KeyboardInterrupt as end:
        _tell("Stopped")
        return code_of(end)
    except (AlreadyRunning, ValueError, OSError) as error:
        _tell(f"Cannot run: {shown(str(error), _LONGEST_WORDS)}", is_trouble=True)
        return 1


def configure_logging(options: argparse.Namespace) -> None:
    """Let what libraries say reach the user in the form that was chosen."""
    is_json = _CONSOLE.is_json = options.log_format == "json"
    level = logging.DEBUG if options.debug else logging.INFO if options.verbose else logging.ERROR
    handler = SpokenHandler(sys.stdout if is_json else sys.stderr, is_json=is_json)
    handler.addFilter(is_fit_to_show)
    form = "%(asctime)s  %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=level, format=form, handlers=[handler])
    # The HTTP library logs addresses at DEBUG; none of ours carries a secret, but nobody needs it.
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def _check_extras(options: argparse.Namespace) -> None:
    """Load what only some want, so that it is found at once where it is not installed.

    Raises:
        ValueError: If it is not.
    """
    if options.metrics_port is not None:
        from ttslo_app.face import metrics

        metrics.check_available()
    if options.live:
        from ttslo_app.signs import screen

        screen.check_available()


def _run(options: argparse.Namespace, step: Callable[[str], None], disk: Disk | None) -> int:
    _check_extras(options)
    files = {"config": options.config, "state": options.state, "log": options.log}
    refuse_same({**files, "keys": options.env_file or ENV_FILE})
    manager = ConfigManager(*files.values(), disk=disk)
    if options.create_sample_config:
        return _write_sample(manager)
    reading = KrakenAPI.from_env(
        readwrite=False,
        env_file=env_file(options),
        use_websocket=not options.no_websocket,
        feed_settings=FeedSettings(gather_for=0.0),  # nothing stands between tick and order
    )
    if not Path(options.config).exists():
        _tell(
            f"Cannot run: there is no {options.config}. "
            f"Write one, or start from `{command()} --create-sample-config`",
            is_trouble=True,
        )
        return 1
    if options.validate_config:
        for odd in _odd_names(options):
            _tell(f"{odd.level}: {odd.text}", is_trouble=True)
        return _validate(manager, reading, is_verbose=options.verbose)
    telling = telling_from(options, env_file(options), is_rehearsal=options.dry_run)
    program = _program(manager, reading, options, step)
    secrets = [Path(env_file(options)), *exposed_files(os.environ)]
    warnings = [*filter(None, map(exposure, secrets))]
    with telling.over(program, "DRY RUN" if options.dry_run else ""):
        if options.dry_run:
            return give_signs(program, options, warnings)
        with _holding_files(program) as absent, keeping_journal(program):
            manager.sweep()
            return give_signs(program, options, [*warnings, *absent])


def give_signs(program: Program, options: argparse.Namespace, warnings: Sequence[str]) -> int:
    """Run the program, and let it be looked at from outside meanwhile."""
    if options.once:
        return _operate(program, options, warnings)
    signs = signs_from(program, options)
    page = serving(
        server_from(options, env_file(options)),
        program,
        signs,
        Hands(program) if options.web_actions else None,
    )
    # Commands by hand change config.csv, and hosts that share a store have none.
    door = nullcontext() if options.store else door_of(program, options.state).over()
    with page, signs.over(), door:
        return _operate(program, options, warnings, signs)


@contextmanager
def _holding_files(program: Program) -> Iterator[list[str]]:
    """Have the files that decide about orders for this program alone, and fit for their work.

    Yields:
        What is to be said of locks that cannot be had here, or do not reach far enough.

    Raises:
        AlreadyRunning: If another program has one of them.
        ValueError: If one of them can never be written as it has to be.
        OSError: If there can be no lock.
    """
    files = program.config_manager
    check_replaceable(files.disk, Path(files.state_file))
    may_order = program.kraken_api_readwrite is not None
    if may_order:  # else nothing is ever noted in the config
        check_replaceable(files.disk, Path(files.config_file))
    to_say: list[str] = []
    held = [StateLock(name, files.disk) for name in (files.state_file, files.config_file)]
    with ExitStack() as locks:
        for lock in held:
            # A config in a folder that cannot be written may be watched, and orders nothing.
            is_needed = may_order or lock is held[0]
            with nullcontext() if is_needed else suppress(OSError):
                locks.enter_context(lock)
            to_say += filter(None, (lock.absence, second_name(lock.path)))
        program.files.locks = held
        yield to_say


def _validate(manager: ConfigManager, reading: KrakenAPI, *, is_verbose: bool) -> int:
    """Say what a run would say of the rules, and return the code that it would end with."""
    with _patiently(lambda said: _tell(said.text, is_trouble=True), reading.base_url):
        result = ConfigValidator(reading).validate_config_file(
            manager.load_config(), now=datetime.now(UTC)
        )
        complete_prices(result, reading)
    result.file.extend(manager.findings)
    if not result.accepted and result.is_valid():
        name = str(manager.config_file)
        result.add_error(name, "rows", "The file holds no row; there is nothing to watch")
    _tell(format_validation_result(result, verbose=is_verbose))
    return 0 if result.is_valid() else 1


def _tell(text: str, *, is_trouble: bool = False) -> None:
    """Print a text, whatever the terminal can show, and whether or not anybody reads it."""
    _CONSOLE.tell(text, is_trouble=is_trouble)


def _write_sample(manager: ConfigManager) -> int:
    name = "config_sample.csv"
    try:
        manager.create_sample_config(name)
    except FileExistsError:
        raise ValueError(
            f"{name} is there already and was left alone. Move it away, or run this in another "
            "folder"
        ) from None
    _tell(f"Written: {name}. Copy it to config.csv and edit it")
    return 0


def _order_settings() -> OrderSettings:
    name = "TTSLO_ORDER_SETTINGS"
    try:
        return settings_from(os.environ.get(name, ""))
    except ValueError as error:
        example = "write name=seconds, such as watch=10, with a comma between two of them"
        raise ValueError(f"{name}: {error}; {example}") from None


def _program(
    manager: ConfigManager,
    reading: KrakenAPI,
    options: argparse.Namespace,
    step: Callable[[str], None],
) -> Program:
    trading = KrakenAPI.from_env(readwrite=True, env_file=env_file(options), use_websocket=False)
    keyed = trading if trading.has_keys else None
    exclusive = Exclusive(keyed, is_wanted=options.exclusive_key, state=Path(options.state))
    if not options.dry_run:
        exclusive.check(lambda: ask_person(options.yes_this_key_is_ttslos_alone))
    return Program(manager, reading, keyed, _wanted(options, step, exclusive))


def _wanted(
    options: argparse.Namespace,
    step: Callable[[str], None],
    exclusive: Exclusive | None = None,
) -> Options:
    return Options(
        dry_run=options.dry_run,
        verbose=options.verbose,
        debug=options.debug,
        settings=_order_settings(),
        when_blind=WhenBlind(options.when_blind),
        metrics_port=options.metrics_port,
        exclusive=exclusive,
        is_json=_CONSOLE.is_json,
        step=step,
    )


def _operate(
    program: Program,
    options: argparse.Namespace,
    warnings: Sequence[str],
    signs: Signs | None = None,
) -> int:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, SpokenHandler):
            handler.lane = program.voice.screen
    end_at_once_on_signals()
    try:
        return _start(program, options, warnings, signs)
    except KeyboardInterrupt as end:
        why = "the end of its terminal" if isinstance(end, HungUp) else "a signal"
        tell(
            program.say, words.ended_early(why, has_looked=options.once or program.live is not None)
        )
        return code_of(end)


def _start(
    program: Program, options: argparse.Namespace, warnings: Sequence[str], signs: Signs | None
) -> int:
    _open(program, options)
    for text in warnings:
        tell(program.say, words.caution(text))
    if not program.dry_run and program.options.exclusive is not None:
        program.options.exclusive.take(program.say)
    if signs is not None and signs.follower is not None:
        tell(program.say, page_at(signs.follower.url))
    rest = program.kraken_api_readonly.base_url
    with many_objects(), _patiently(partial(tell, program.say), rest):
        is_accepted = _take_up(program)
    # What the rows have become stays until the end: looking through it would hold up prices.
    gc.freeze()
    if not is_accepted:
        tell(program.say, words.nothing_to_watch(options.config))
        return 1
    if options.strict and program.validation is not None and not program.validation.is_valid():
        tell(program.say, words.STRICT_REFUSAL)
        return 1
    if program.worker.exchange is None:
        tell(program.say, words.NO_TRADING_KEY)
    if signs is None:
        return _look_once(program)
    table: AbstractContextManager[object] | None = None
    if options.live:
        from ttslo_app.signs.screen import drawing  # which `_check_extras` has loaded

        table = drawing(sys.stdout, program.voice, program.say, lambda: signs.newest)
    return _run_on(program, options.interval, table or nullcontext())


def _open(program: Program, options: argparse.Namespace) -> None:
    """Say what this run is before anything else, and name settings that are none."""
    reading = program.kraken_api_readonly
    run = words.Run(
        rest=reading.base_url,
        stream=None if options.no_websocket else reading.ws_url,
        files=(options.config, options.state, options.log),
        has_trading_key=program.kraken_api_readwrite is not None,
        is_dry=program.dry_run,
        version=VERSION,
        sign="" if options.once else snapshot_path(options.state, is_dry=True).name,
        is_paper=program.mode == "PAPER",
        is_shared=bool(options.store),
    )
    for sentence in [*words.opening(run), *_odd_names(options)]:
        tell(program.say, sentence)


def _odd_names(options: argparse.Namespace) -> list[Sentence]:
    """Return what is to be said of misspelt settings, in the environment and the .env file."""
    names = {*os.environ, *creds.names_in(env_file(options))}
    return unknown_names(names, any_case=os.name == "nt")


def _look_once(program: Program) -> int:
    program.report()
    program.run_once()
    program.settle(_ONCE_PATIENCE)
    program.save_state()
    if program.is_blind:
        tell(program.say, words.NO_PRICE_AT_ALL)
    return 1 if program.is_blind or not is_alone(program) else 0


def _run_on(program: Program, interval: float, table: AbstractContextManager[object]) -> int:
    def say_last_word(name: str) -> None:
        # Not by way of the voice: what waits there may wait for ever.
        said = ended_hard(name)
        program.config_manager.log(said.level, said.text)
        _tell(folded(said.text, width_of(sys.stdout)))

    with Ending(program.stop, say_last_word) as ending:
        program.report()
        with table:
            program.run_continuous(interval)
    why = "the end of its terminal" if ending.code else ""
    tell(program.say, words.stopped(is_dry=program.dry_run, is_saved=program.is_saved, why=why))
    return ending.code or int(not is_alone(program))


def _take_up(program: Program) -> bool:
    """Go on where an earlier run ended; tell whether any row is accepted."""
    program.load_state()
    program.recover()
    wait_for_whole_file(
        program.config_manager,
        program.worker.roll.waiting_from_before,
        program.clocks.wall,
        program.stopping.wait,
    )
    program.check_config_file_changed()
    return program.validate_and_load_config()


@contextmanager
def _patiently(say: Callable[[Sentence], object], rest: str) -> Iterator[None]:
    """Say what is waited for, where that takes longer than a person expects."""
    timer = threading.Timer(_SILENCE, say, (words.waits_for(rest),))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()

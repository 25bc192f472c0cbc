"""Where coverage is measured: in tests and fixtures, and while modules are imported.

Everything else that a run does, such as collecting, reporting and sending results, is pytest's own.
Measuring would make it take twice as long, which is more than most tests take themselves.
"""

import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest


class Measured:
    """A plugin of pytest that lets coverage see what is ours, and nothing else.

    It is the thread of the tests that is looked away from. Those that tests and fixtures start are
    measured for as long as they run.
    """

    def __init__(self, coverage: Any) -> None:
        self._coverage = coverage  # the plugin of pytest-cov
        self._tracer: Any = None

    @contextmanager
    def seen(self) -> Iterator[None]:
        """Measure what is done inside, unless that is done already or is not to be."""
        if sys.gettrace() is not None or not self._coverage.cov_controller.started:
            yield
            return
        sys.settrace(self._tracer)
        try:
            yield
        finally:
            self.look_away()

    def look_away(self) -> None:
        """Measure nothing from here on."""
        tracer = sys.gettrace()
        if tracer is not None:
            self._tracer = tracer  # another one each time that measuring begins anew
            sys.settrace(None)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionstart(self) -> Generator[None, None, None]:
        """Look away as soon as measuring begins."""
        yield
        self.look_away()

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, object, object]:
        """Import a file of tests in sight, and with it what it tests; pytest says what is wrong.

        A folder's conftest.py is imported where the folder is looked through.
        """
        if isinstance(collector, pytest.Directory):
            with self.seen():
                return (yield)
        if isinstance(collector, pytest.Module):
            with self.seen(), suppress(Exception, pytest.skip.Exception):
                _ = collector.obj
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self) -> Generator[None, object, object]:
        """Set up in sight."""
        with self.seen():
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self) -> Generator[None, object, object]:
        """Run a test in sight."""
        with self.seen():
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Look away again where measuring begins again, after a test that is not measured."""
        result = yield
        self.look_away()
        return result

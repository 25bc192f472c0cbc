"""A real browser for tests of the live page: the system's own Chromium, without a window."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_NOWHERE = "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None,
    reason="there is no Chromium on PATH to show the live page in, or no playwright to steer it; "
    "install them, such as with `apt-get install chromium` and `pip install '.[dev]'`",
)


@contextmanager
def browser() -> Iterator[Browser]:
    """Run Chromium for as long as the `with` lasts. It can reach this machine alone."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without its sandbox, which a container's root cannot have; it is shown our page alone.
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--proxy-server=direct://", f"--host-resolver-rules={_NOWHERE}"],
        )
        try:
            yield chromium
        finally:
            chromium.close()


class Reader:
    """A person who looks at a page, and hears each of its complaints.

    Args:
        page: The browser's page.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._hear(message.type, message.text))

    def _hear(self, kind: str, text: str) -> None:
        # A program that is away cannot be reached, and the browser says so.
        if kind in ("error", "warning") and "ERR_CONNECTION_REFUSED" not in text:
            self.complaints.append(text)

    def see(self, script: str, what: object = None) -> object:
        """Wait until an expression in the page is true, and return its value."""
        return self.page.wait_for_function(script, arg=what).json_value()

    def text(self, selector: str) -> str:
        """Return what is written in a part of the page."""
        return self.page.inner_text(selector)

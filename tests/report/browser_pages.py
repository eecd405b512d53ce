"""A headless browser for tests, and an observer of what a page must not do."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from bench.page import CHROMIUM, FLAGS

SECONDS = 30_000
"""Milliseconds that a busy machine may take for anything."""


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Debian's Chromium; the test is skipped where it is not installed."""
    if CHROMIUM is None:
        pytest.skip("there is no chromium: apt-get install chromium-headless-shell")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


class Observer:
    """What a page said and asked for while it was looked at."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: self.requests.append(request.url))

    def assert_nothing_went_wrong(self) -> None:
        """No error and no dialog."""
        assert (self.errors, self.dialogs) == ([], [])

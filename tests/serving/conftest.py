"""A browser, a scripted server, and pages of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.report.browser_pages import SECONDS, Observer, running_browser
from tests.serving.scripted_server import Scripted, serving_scripts


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a file."""
    with running_browser() as found:
        yield found


@pytest.fixture
def scripted() -> Scripted:
    """What the server will say, to be set by the test."""
    return Scripted()


@pytest.fixture
def address(scripted: Scripted) -> Iterator[str]:
    """Where the scripted server is."""
    with serving_scripts(scripted) as found:
        yield found


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open the chat page in a browser profile of its own; its observer is ``page.observer``."""
    contexts = []

    def start(address: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 800}} | options))
        page = contexts[-1].new_page()
        page.set_default_timeout(SECONDS)
        page.observer = Observer(page)
        page.goto(address)
        page.locator("#model option").first.wait_for(state="attached")
        return page

    yield start
    for context in contexts:
        context.close()


@pytest.fixture
def page(open_page: Callable[..., Page], address: str) -> Page:
    """A fresh chat page of the scripted server."""
    return open_page(address)

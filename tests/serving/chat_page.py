"""What a reader does on the chat page, for its tests."""

from playwright.sync_api import Locator, Page


def ask(page: Page, question: str) -> None:
    """Type a question and send it."""
    page.fill("#question", question)
    page.press("#question", "Enter")


def ask_and_wait(page: Page, question: str) -> Locator:
    """Ask, and give the reply once it has ended."""
    num_replies = page.locator(".reply").count()
    ask(page, question)
    reply = page.locator(".reply").nth(num_replies)
    wait_for_end(page)
    return reply


def wait_for_end(page: Page) -> None:
    """Nothing streams any more."""
    page.locator("#send").wait_for()


def is_open(reply: Locator) -> bool:
    """Whether the thought of a reply is shown."""
    told = reply.locator(".thought-toggle").get_attribute("aria-expanded") == "true"
    assert reply.locator(".thought-body").is_visible() == told
    return told


def titles(page: Page) -> list[str]:
    """Of the conversations in the history."""
    return page.locator("#history-list .title").all_inner_texts()

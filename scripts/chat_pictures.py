"""Takes the pictures of the chat page that the documents show: python -m scripts.chat_pictures RUN [FOLDER].

Needs chromium-headless-shell and playwright. RUN is served beside the shipped base. Replies are left to chance, so look
at what came before you keep it.
"""

import sys
import tempfile
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

from bench.page import CHROMIUM
from thinkwright.config.serving import ServeSettings
from thinkwright.serving.serve import serving

SIZE = {"width": 1180, "height": 820}
QUESTIONS = "Amy beats Mia, Ben beats Leo, Mia beats Ben. Who is third?", "Use 3, 6, 4 with + - to make 7."


def main(run: str, folder: str = "docs/images") -> None:
    """Write the pictures."""
    out = Path(folder)
    with tempfile.TemporaryDirectory() as votes:
        settings = ServeSettings(models=(run, "tiny-base"), port=0, votes=Path(votes) / "votes.sqlite")
        with serving(settings) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            _conversation(_opened(browser, address, "light"), out / "chat.png")
            _comparison(_opened(browser, address, "dark"), out / "compare.png")
            browser.close()


def _opened(browser: Browser, address: str, scheme: Literal["light", "dark"]) -> Page:
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.goto(address)
    page.locator("#model option").first.wait_for(state="attached")
    return page


def _conversation(page: Page, out: Path) -> None:
    for number, question in enumerate(QUESTIONS):
        _ask(page, question)
        page.locator(".costs", has_text="tokens/s").nth(number).wait_for()
    _take(page, out)


def _comparison(page: Page, out: Path) -> None:
    page.check("#compare")
    _ask(page, QUESTIONS[1])
    page.locator(".choices").wait_for()
    thoughts = page.locator(".thought-text").all_text_contents()
    page.get_by_role("button", name=f"{'A' if len(thoughts[0]) > len(thoughts[1]) else 'B'} is better").click()
    page.locator(".ballot b", has_text="Vote kept").wait_for()
    _take(page, out)


def _ask(page: Page, question: str) -> None:
    page.fill("#question", question)
    page.press("#question", "Enter")


def _take(page: Page, out: Path) -> None:
    """All thoughts open, from the top."""
    for toggle in page.locator(".thought-toggle").all():
        if toggle.get_attribute("aria-expanded") == "false":
            toggle.click()
    page.locator("#scroller").evaluate("thread => thread.scrollTop = 0")
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=out)
    page.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

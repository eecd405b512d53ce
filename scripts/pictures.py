"""Takes the pictures of a run's page that the documents show: python -m scripts.pictures RUN [FOLDER].

Needs chromium-headless-shell and playwright. RUN must have been evaluated with ``thinkwright eval RUN tiny-base --suite
tiny_world --test-time``, so that all three pictures are there.
"""

import sys
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, sync_playwright

from bench.page import CHROMIUM
from thinkwright.report.page import write_report

SIZE = {"width": 1180, "height": 880}


def main(run: str, folder: str = "docs/images") -> None:
    """Write the pictures."""
    page, out = write_report(Path(run)).resolve().as_uri(), Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        _take(browser, page, "light", "body", out / "report.png")
        _take(browser, page, "light", "#pictures .charts", out / "three-pictures.png")
        _take(browser, page, "dark", "#rollouts", out / "rollouts-dark.png")
        browser.close()


def _take(browser: Browser, page: str, scheme: Literal["light", "dark"], selector: str, out: Path) -> None:
    view = browser.new_page(viewport=SIZE, color_scheme=scheme)
    view.goto(page)
    view.wait_for_selector("#rollouts article")
    if selector == "#rollouts":
        view.locator("#rb-family").select_option("countdown")
        view.locator("#rb-step").fill("10")
        view.locator("#rb-step").press("Enter")
        view.wait_for_timeout(1000)
        view.locator(selector).evaluate("part => part.scrollIntoView()")
        view.wait_for_timeout(500)
    if selector == "#pictures .charts":
        view.locator(selector).screenshot(path=out)
    else:
        view.screenshot(path=out)
    view.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The chat page with the server it is part of, and real models."""

import json
import urllib.request

import pytest

from tests.serving.chat_page import ask, ask_and_wait
from thinkwright.config.serving import ServeSettings, ServingEngine
from thinkwright.serving.serve import serving

QUESTION = "Use 3, 6, 4 with + - to make 7."


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Address of a server of two models, which wants no key."""
    settings = ServeSettings(
        models=("tiny-base", "tiny-base-small"),
        port=0,
        votes=tmp_path_factory.mktemp("votes") / "votes.sqlite",
        engine=ServingEngine(slots=2, max_tokens=96),
    )
    with serving(settings) as address:
        yield f"{address}/"


def test_a_conversation_with_a_model(open_page, served):
    page = open_page(served)
    page.click("#settings-toggle")
    page.fill("#temperature", "0")  # its likeliest reply has a thought
    reply = ask_and_wait(page, QUESTION)
    costs = reply.locator(".costs").inner_text()
    assert costs.startswith("tiny-base \u00b7 ")
    assert "tokens/s" in costs
    assert reply.locator(".thought-toggle").inner_text().startswith("Thought for ")
    page.uncheck("#thinking")
    again = ask_and_wait(page, QUESTION)
    assert again.locator(".thought-text").text_content() == ""
    page.observer.assert_nothing_went_wrong()


def test_a_vote_reaches_the_servers_file(open_page, served):
    page = open_page(served)
    page.check("#compare")
    ask(page, QUESTION)
    page.locator(".choices").wait_for()
    page.get_by_role("button", name="As good").click()
    page.locator(".ballot b", has_text="Vote kept: they are as good.").wait_for()
    with urllib.request.urlopen(f"{served}votes") as response:
        counted = json.load(response)
    assert counted["num_votes"] == 1
    assert counted["pairs"][0]["models"] == ["tiny-base", "tiny-base-small"]
    assert counted["pairs"][0]["ties"] == 1
    page.observer.assert_nothing_went_wrong()

"""Compare mode: two models, one question, a vote."""

import pytest

from tests.serving.chat_page import ask, ask_and_wait, wait_for_end

MODELS = ("alpha", "beta")


@pytest.fixture
def comparing(page, scripted):
    """The page in compare mode, with different replies of the two models."""
    for name in MODELS:
        scripted.scripts[f"{name}: Which?"] = [("thought", f"thought {name[:1]}"), ("answer", f"answer {name[:1]}")]
    page.check("#compare")
    assert page.locator("#second").input_value() == "beta"
    return page


def _votes_are_offered(page):
    page.locator(".choices").wait_for()


def test_a_blind_vote_names_the_models_afterwards(comparing, scripted):
    page = comparing
    ask(page, "Which?")
    _votes_are_offered(page)
    assert page.locator(".column h3").all_inner_texts() == ["Reply A", "Reply B"]
    html = page.locator(".pair").inner_html()
    assert not any(name in html for name in MODELS)
    page.reload()
    _votes_are_offered(page)
    assert page.locator(".column h3").all_inner_texts() == ["Reply A", "Reply B"]
    answers = page.locator(".column .answer").all_inner_texts()
    page.fill(".note", "clearer")
    page.get_by_role("button", name="B is better").click()
    page.locator(".ballot b", has_text="Vote kept: B is better.").wait_for()
    order = [{"answer a": "alpha", "answer b": "beta"}[answer] for answer in answers]
    assert page.locator(".column h3").all_inner_texts() == [f"A: {order[0]}", f"B: {order[1]}"]
    settings = {"enable_thinking": True, "thinking_token_budget": None, "temperature": None, "max_tokens": None}
    replies = [
        {
            "model": name,
            "thought": f"thought {name[0]}",
            "answer": f"answer {name[0]}",
            "finish_reason": "stop",
            "settings": settings,
        }
        for name in order
    ]
    (vote,) = scripted.votes
    assert len(vote.pop("id")) == 36
    assert vote == {
        "question": "Which?",
        "messages": [{"role": "user", "content": "Which?"}],
        "replies": replies,
        "choice": "second",
        "is_blind": True,
        "note": "clearer",
    }
    page.uncheck("#compare")
    ask_and_wait(page, "Next")
    assert [one["content"] for one in scripted.asked[-1]["messages"]] == ["Which?", answers[1], "Next"]
    page.observer.assert_nothing_went_wrong()


def test_the_order_of_blind_replies_is_left_to_chance(comparing):
    orders = comparing.evaluate(
        """async () => {
            const { newPair } = await import("./page/compare.js");
            const firsts = blind => Array.from({ length: 200 }, () => newPair(["a", "b"], blind).replies[0]);
            return [true, false].map(blind => firsts(blind).filter(one => one === "a").length);
        }"""
    )
    assert 60 < orders[0] < 140  # outside of that once in 10^8
    assert orders[1] == 200


def test_both_stream_at_once_and_can_be_stopped(comparing, scripted):
    page = comparing
    for name in MODELS:
        scripted.scripts[f"{name}: Slow"] = [("answer", f"begun by {name[0]}"), ("wait", ""), ("answer", ", ended")]
    ask(page, "Slow")
    for name in MODELS:
        page.locator(".column .answer", has_text=f"begun by {name[0]}").wait_for()
    assert not page.locator(".choices").is_visible()
    page.keyboard.press("Escape")
    wait_for_end(page)
    assert page.locator(".column .end").all_inner_texts() == ["Stopped."] * 2
    _votes_are_offered(page)


def test_a_named_vote_that_is_lost_is_sent_again_as_the_same(comparing, scripted):
    page = comparing
    page.uncheck("#blind")
    scripted.vote_refusals = [503]
    ask(page, "Which?")
    _votes_are_offered(page)
    assert page.locator(".column h3").all_inner_texts() == ["A: alpha", "B: beta"]
    page.get_by_role("button", name="As good").click()
    page.locator(".ballot .problem", has_text="could not be kept (503)").wait_for()
    first_id = page.evaluate(
        "JSON.parse(localStorage[Object.keys(localStorage).find(k => k.includes('chat.'))]).turns[1].vote.id"
    )
    page.reload()
    page.get_by_role("button", name="Send again").click()
    page.locator(".ballot b", has_text="Vote kept: they are as good.").wait_for()
    (vote,) = scripted.votes
    assert (vote["id"], vote["choice"], vote["is_blind"]) == (first_id, "tie", False)


def test_a_question_with_two_bad_replies_is_left_out(comparing, scripted):
    page = comparing
    ask(page, "Which?")
    _votes_are_offered(page)
    page.get_by_role("button", name="Both bad").click()
    page.locator(".ballot b", has_text="Vote kept").wait_for()
    ask(page, "Next")
    _votes_are_offered(page)
    assert [body["messages"] for body in scripted.asked[-2:]] == [[{"role": "user", "content": "Next"}]] * 2
    assert {body["model"] for body in scripted.asked[-2:]} == set(MODELS)


def test_one_model_cannot_be_compared(open_page, address, scripted):
    scripted.models = ["alpha"]
    page = open_page(address)
    assert page.locator("#compare").is_disabled()
    assert page.locator("#compare-switch").get_attribute("title") == "Serve two models to compare them"

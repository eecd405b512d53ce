"""The chat page in a real browser: conversations, thoughts, settings and what is kept."""

import json

import pytest

from tests.serving.chat_page import ask, ask_and_wait, is_open, titles, wait_for_end

THINKS = [
    ("thought", "Let me see. "),
    ("wait", ""),
    ("thought", "Yes."),
    ("wait", ""),
    ("answer", "It is 4."),
    ("wait", ""),
]


def test_a_conversation_streams_and_goes_on(page, scripted):
    scripted.scripts["What is 2 + 2?"] = THINKS
    ask(page, "What is 2 + 2?")
    reply = page.locator(".reply")
    reply.locator(".thought-text", has_text="Let me see.").wait_for()
    assert reply.locator(".thought-toggle").inner_text() == "Thinking..."
    scripted.go_on(2)
    reply.locator(".answer", has_text="It is 4.").wait_for()
    assert page.locator("#stop").is_visible()
    scripted.go_on()
    wait_for_end(page)
    assert reply.locator(".thought-toggle").inner_text().endswith(" s, 4 tokens")
    assert reply.locator(".thought-text").text_content() == "Let me see. Yes."
    costs = reply.locator(".costs").inner_text()
    assert costs.startswith("alpha \u00b7 4 of thought + 3 tokens \u00b7 ")
    assert "tokens/s" in costs
    second = ask_and_wait(page, "And 3 + 3?")
    assert second.locator(".answer").inner_text() == "Reply to And 3 + 3?."
    assert scripted.asked[1]["messages"] == [
        {"role": "user", "content": "What is 2 + 2?"},
        {"role": "assistant", "content": "It is 4."},
        {"role": "user", "content": "And 3 + 3?"},
    ]
    assert scripted.asked[0] == {
        "model": "alpha",
        "messages": [{"role": "user", "content": "What is 2 + 2?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "chat_template_kwargs": {"enable_thinking": True},
    }
    page.observer.assert_nothing_went_wrong()


def test_markdown_and_formulas_are_set(page, scripted):
    formulas = "$\\frac{1}{2}$, \\(x^2\\).\n\n$$\\sum_{k=1}^n k$$"
    text = f"**Bold** and {formulas}\n\n|a|b|\n|-|-:|\n|1|2|\n\n```python\nx = 1\n```\n\n$5 and $6"
    scripted.scripts["Show"] = [("answer", text)]
    answer = ask_and_wait(page, "Show").locator(".answer")
    assert answer.locator("strong").inner_text() == "Bold"
    assert answer.locator("math").count() == 3
    assert answer.locator("math mfrac").count() == 1
    assert answer.locator(".display math").bounding_box()["height"] > 20
    assert answer.locator("td").nth(1).evaluate("cell => getComputedStyle(cell).textAlign") == "right"
    assert answer.locator("pre code").inner_text().strip() == "x = 1"
    assert answer.locator("p").last.inner_text() == "$5 and $6"
    page.observer.assert_nothing_went_wrong()


def test_stars_that_multiply_are_no_emphasis(page, scripted):
    text = "2*3*4, (1+2)*(3)*x*y, 2**3**2, **1**st, *so*, \u8fd9**\u91cd\u70b9**\u5185"
    scripted.scripts["Stars"] = [("answer", text)]
    answer = ask_and_wait(page, "Stars").locator(".answer")
    assert answer.inner_text() == "2*3*4, (1+2)*(3)*x*y, 2**3**2, 1st, so, \u8fd9\u91cd\u70b9\u5185"
    assert answer.locator("strong, em").all_inner_texts() == ["1", "so", "\u91cd\u70b9"]


def test_pieces_may_be_cut_anywhere(page, scripted):
    scripted.piece_bytes = 5
    scripted.scripts["Cut"] = [("thought", "\u6211\u60f3 \U0001f914"), ("answer", "caf\u00e9 \u4f60\u597d")]
    reply = ask_and_wait(page, "Cut")
    assert reply.locator(".thought-text").text_content() == "\u6211\u60f3 \U0001f914"
    assert reply.locator(".answer").inner_text() == "caf\u00e9 \u4f60\u597d"


@pytest.mark.parametrize(
    ("setting", "touches", "while_thinking", "while_answering"),
    [
        ("auto", 0, True, False),
        ("auto", 1, False, False),
        ("auto", 2, True, True),
        ("open", 0, True, True),
        ("open", 1, False, False),
        ("closed", 0, False, False),
        ("closed", 1, True, True),
    ],
)
def test_the_thought_opens_and_closes_as_wanted(page, scripted, setting, touches, while_thinking, while_answering):
    scripted.scripts["Think"] = THINKS
    page.click("#settings-toggle")
    page.select_option("#thoughts", setting)
    ask(page, "Think")
    reply = page.locator(".reply")
    for _ in range(touches):
        reply.locator(".thought-toggle").click()
    scripted.go_on()
    reply.locator(".thought-text", has_text="Yes.").wait_for(state="attached")
    assert is_open(reply) == while_thinking
    scripted.go_on()
    reply.locator(".answer", has_text="It is 4.").wait_for()
    assert is_open(reply) == while_answering
    scripted.go_on()
    wait_for_end(page)
    assert is_open(reply) == while_answering
    page.reload()
    assert page.input_value("#thoughts") == setting
    assert is_open(page.locator(".reply")) == (setting == "open")


@pytest.mark.parametrize("by", ["Escape", "button"])
def test_stopping_keeps_what_came(page, scripted, by):
    scripted.scripts["Go"] = THINKS
    ask(page, "Go")
    page.locator(".thought-text", has_text="Let me see.").wait_for()
    if by == "button":
        page.click("#stop")
    else:
        page.press("#question", "Escape")
    wait_for_end(page)
    assert page.locator(".thought-text").text_content() == "Let me see. "
    assert page.locator(".end").inner_text() == "Stopped."
    ask_and_wait(page, "More")
    assert scripted.num_left == 1
    assert scripted.asked[1]["messages"] == [{"role": "user", "content": "Go\n\nMore"}]
    page.reload()
    assert page.locator(".thought-text").first.text_content() == "Let me see. "
    page.observer.assert_nothing_went_wrong()


def test_asking_again_forgets_the_reply_and_what_followed(page, scripted):
    for question in ("One", "Two"):
        ask_and_wait(page, question)
    scripted.scripts["One"] = [("answer", "Another reply")]
    page.locator(".reply").first.get_by_role("button", name="Ask again").click()
    page.locator(".answer", has_text="Another reply").wait_for()
    wait_for_end(page)
    assert page.locator(".reply").count() == 1
    assert scripted.asked[2] == scripted.asked[0]


def test_an_earlier_question_can_be_changed(page, scripted):
    for question in ("One", "Two", "Three"):
        ask_and_wait(page, question)
    page.locator(".asked").nth(1).get_by_role("button", name="Edit").click()
    page.locator(".editor textarea").press("Escape")
    assert page.locator(".question-text").all_inner_texts() == ["One", "Two", "Three"]
    page.locator(".asked").nth(1).get_by_role("button", name="Edit").click()
    page.locator(".editor textarea").fill("Zwei")
    page.locator(".editor textarea").press("Enter")
    page.locator(".answer", has_text="Reply to Zwei.").wait_for()
    wait_for_end(page)
    assert page.locator(".question-text").all_inner_texts() == ["One", "Zwei"]
    assert [message["content"] for message in scripted.asked[-1]["messages"]] == ["One", "Reply to One.", "Zwei"]


def test_answer_and_thought_can_be_copied(open_page, address, scripted):
    page = open_page(address, permissions=["clipboard-read", "clipboard-write"])
    scripted.scripts["Copy"] = [("thought", "a <b>thought</b>"), ("answer", "an *answer*")]
    reply = ask_and_wait(page, "Copy")
    for name, text in (("Copy answer", "an *answer*"), ("Copy thought", "a <b>thought</b>")):
        if name == "Copy thought":
            reply.locator(".thought-toggle").click()
        reply.get_by_role("button", name=name).click()
        reply.get_by_role("button", name="Copied").first.wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == text


def test_settings_are_sent_and_remembered(page, scripted):
    page.evaluate("document.getElementById('budget').value = 2")
    page.dispatch_event("#budget", "input")
    assert page.locator("#budget-text").inner_text() == "128 tokens"
    page.click("#settings-toggle")
    page.fill("#temperature", "0.3")
    page.fill("#max-tokens", "77")
    page.select_option("#model", "beta")
    ask_and_wait(page, "One")
    page.reload()
    page.locator("#model option").first.wait_for(state="attached")
    page.uncheck("#thinking")
    assert page.locator("#budget").is_disabled()
    ask_and_wait(page, "Two")
    sent = [{key: body.get(key) for key in ("model", "temperature", "max_tokens")} for body in scripted.asked]
    assert sent == [{"model": "beta", "temperature": 0.3, "max_tokens": 77}] * 2
    assert [body["chat_template_kwargs"]["enable_thinking"] for body in scripted.asked] == [True, False]
    assert [body.get("thinking_token_budget") for body in scripted.asked] == [128, None]


def test_a_reply_cut_at_the_limit_says_so(page, scripted):
    scripted.scripts["Long"] = [("answer", "and so"), ("end", "length")]
    scripted.scripts["Longer"] = [("thought", "hm"), ("end", "length")]
    assert ask_and_wait(page, "Long").locator(".end").inner_text() == "Cut at the limit of tokens."
    reply = ask_and_wait(page, "Longer")
    assert "The thought was not finished" in reply.locator(".end").inner_text()
    assert is_open(reply)


def test_conversations_are_kept_opened_renamed_and_deleted(page):
    ask_and_wait(page, "First question")
    page.click("#new")
    ask_and_wait(page, "Second question")
    page.reload()
    assert page.locator(".question-text").all_inner_texts() == ["Second question"]
    assert page.locator(".answer").inner_text() == "Reply to Second question."
    assert titles(page) == ["Second question", "First question"]
    page.click("#history-list .title >> text=First question")
    assert page.locator(".question-text").all_inner_texts() == ["First question"]
    page.locator("#history-list .title >> text=First question").hover()
    page.get_by_label("Rename First question").click()
    page.locator(".rename input").fill("Renamed")
    page.locator(".rename input").press("Enter")
    assert titles(page) == ["Second question", "Renamed"]
    page.locator("#history-list .title >> text=Renamed").hover()
    page.get_by_label("Delete Renamed").click()
    page.locator("#welcome").wait_for()
    assert titles(page) == ["Second question"]
    page.get_by_role("button", name="Undo").click()
    assert titles(page) == ["Second question", "Renamed"]
    with page.expect_download() as download:
        page.click("#export")
    kept = json.loads(download.value.path().read_text())
    assert [one["title"] for one in kept] == ["Second question", "Renamed"]
    page.click("#clear")
    page.reload()
    assert titles(page) == []
    page.observer.assert_nothing_went_wrong()


def test_the_oldest_conversations_make_room(page):
    kept = page.evaluate(
        """async () => {
            const { MAX_CHARACTERS, conversations, keep } = await import("./page/store.js");
            const text = "x".repeat(MAX_CHARACTERS / 3);
            const made = id => ({ id, updated: Number(id), turns: [{ type: "question", text }] });
            const results = ["1", "2", "3", "4"].map(id => keep(made(id)));
            results.push(keep({ id: "5", updated: 5, turns: [{ type: "question", text: text.repeat(4) }] }));
            return [results, conversations().map(one => one.id)];
        }"""
    )
    assert kept == [[True, True, True, True, False], ["4", "3"]]


def test_everything_is_done_by_keys(page, scripted):
    page.locator("#history-toggle").focus()
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("Line one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("line two")
    page.keyboard.press("Enter")
    page.locator(".costs", has_text="tokens").wait_for()
    assert scripted.asked[0]["messages"][0]["content"] == "Line one\nline two"
    page.locator(".thought-toggle").focus()
    page.keyboard.press("Enter")
    assert is_open(page.locator(".reply"))
    page.keyboard.press("Control+k")
    page.locator("#welcome").wait_for()
    assert page.evaluate("document.activeElement.id") == "question"
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached[:4] == ["thinking", "budget", "settings-toggle", "send"]
    page.observer.assert_nothing_went_wrong()


def test_a_screen_reader_is_told(page, scripted):
    scripted.scripts["Think"] = THINKS
    ask(page, "Think")
    page.locator("#live", has_text="Thinking").wait_for(state="attached")
    scripted.go_on(3)
    page.locator("#live", has_text="Answer: It is 4.").wait_for(state="attached")
    assert page.locator("#live").get_attribute("aria-live") == "polite"


def test_asking_again_twice_at_once_asks_once(page, scripted):
    ask_and_wait(page, "One")
    scripted.scripts["Go"] = THINKS
    ask(page, "Go")
    page.locator(".thought-text", has_text="Let me see.").wait_for()
    scripted.scripts["One"] = [("answer", "Done")]
    again = page.locator(".reply").first.get_by_role("button", name="Ask again")
    again.evaluate("button => { button.click(); button.click(); }")
    page.locator(".answer", has_text="Done").wait_for()
    wait_for_end(page)
    assert len(scripted.asked) == 3
    assert page.locator(".reply").count() == 1


def test_a_browser_that_keeps_nothing_still_talks(browser, address, scripted):
    context = browser.new_context()
    blocked = "Object.defineProperty(window, NAME, { get() { throw new DOMException('blocked', 'SecurityError'); } });"
    for name in ("localStorage", "sessionStorage"):
        context.add_init_script(blocked.replace("NAME", f"'{name}'"))
    page = context.new_page()
    page.goto(address)
    ask_and_wait(page, "Hello")
    assert page.locator(".answer").count() == 1
    context.close()

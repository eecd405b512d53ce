"""The chat page when things go wrong: texts that try to be more than text, refusals, broken connections."""

import json

import pytest

from tests.serving.chat_page import ask, ask_and_wait, wait_for_end

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>",
    "</textarea></title></style></div><svg onload=alert(3)><iframe src=https://evil.example>",
    "[a](javascript:alert(4)) [b](data:text/html,<script>alert(5)</script>) <javascript:alert(6)> [c](/votes)",
    "![pixel](https://evil.example/pixel.png) ![p](data:image/svg+xml,<svg/onload=alert(7)>)",
    "left \u202eright\u202c \u2066iso\u2069 \x1b[31m \u2028 &amp; &lt;b&gt; ${alert(8)} {{alert(9)}}",
    "$\\href{javascript:alert(10)}{x}$ $\\includegraphics{https://evil.example/x.png}$ $\\class{evil}{x}$",
    "$\\frac{1}{$ $$\\begin{matrix} 1 & 2 $$ \\[ \\left( \\] $\\def\\a{\\a\\a}\\a$ $\\rule{9999em}{9999em}$",
    "</think> <think> </answer> <answer> <|im_end|> data: [DONE]\n\ndata: {}\n\n",
    "```html\n<script>alert(11)</script>\n``` \n\n`<img src=x onerror=alert(12)>`\n\n    <script>alert(13)</script>",
    "[d]: javascript:alert(14)\n\n[d] <style>*{display:none}</style> <a href='javascript:alert(15)'>e</a>",
    '|<img src=x onerror=alert(16)>|\n|-|\n|"><script>alert(17)</script>|',
    "__proto__ constructor ".join(["[" * 500, "*" * 500, "`" * 501, "> " * 300, "$" * 501]),
)

MARKED = {"\u202e": "[U+202E]", "\u202c": "[U+202C]", "\u2066": "[U+2066]", "\u2069": "[U+2069]"}
"""How marks that turn the direction of writing are shown."""


def test_what_a_model_or_a_reader_says_stays_text(page, scripted, address):
    num_scripts = page.locator("script").count()
    for number, text in enumerate(HOSTILE):
        scripted.scripts[f"Try {number}"] = [("thought", text), ("answer", text)]
        reply = ask_and_wait(page, f"Try {number}")
        reply.locator(".thought-toggle").click()
        shown = reply.locator(".thought-text").text_content()
        assert shown == "".join(MARKED.get(char, char) for char in text)
        assert not set(MARKED) & set(reply.inner_text())
        ask_and_wait(page, text)
    page.reload()
    page.locator(".reply").nth(len(HOSTILE)).wait_for()
    assert page.locator("script").count() == num_scripts
    made = ", ".join(("script", "img", "iframe", "object", "embed", "form", "style", "svg", "base", "link", "textarea"))
    assert page.locator(f"#thread :is({made})").count() == 0
    links = page.locator(".reply a").evaluate_all("all => all.map(one => one.protocol)")
    assert set(links) == {"https:"}
    names = page.evaluate("[...document.querySelectorAll('#thread *')].flatMap(node => node.getAttributeNames())")
    assert not [name for name in names if name.startswith("on")]
    assert all(url.startswith(address) or url == "data:," for url in page.observer.requests)
    page.observer.assert_nothing_went_wrong()


def test_names_of_models_and_titles_stay_text(open_page, address, scripted):
    scripted.models = ["<img src=x onerror=alert(1)>", '"><script>alert(2)</script>']
    page = open_page(address)
    assert page.locator("#model option").all_inner_texts() == scripted.models
    ask_and_wait(page, "<img src=x onerror=alert(3)>")
    assert page.locator("#history-list .title").inner_text() == "<img src=x onerror=alert(3)>"
    assert page.locator("img").count() == 0
    page.observer.assert_nothing_went_wrong()


def test_a_very_long_reply_is_shown_whole_while_the_page_stays_alive(page, scripted):
    words = " ".join(f"word{i}" for i in range(2000))
    scripted.scripts["Long"] = [step for _ in range(12) for step in (("thought", words), ("answer", f"{words}\n\n"))]
    page.evaluate(
        """() => {
            window.longest = 0;
            let last = performance.now();
            setInterval(() => {
                const now = performance.now();
                window.longest = Math.max(window.longest, now - last);
                last = now;
            }, 20);
        }"""
    )
    reply = ask_and_wait(page, "Long")
    assert len(reply.locator(".thought-text").text_content()) == 12 * len(words)
    assert len(reply.locator(".answer").text_content()) > 12 * len(words)
    assert page.evaluate("window.longest") < 3000
    page.observer.assert_nothing_went_wrong()


def test_a_full_queue_can_be_tried_again(page, scripted):
    scripted.refusals = [(429, "all slots are taken and the queue is full; try again in 3 s")]
    reply = ask_and_wait(page, "Busy")
    problem = reply.locator(".problem")
    assert problem.locator("p").inner_text() == "all slots are taken and the queue is full; try again in 3 s (429)"
    assert problem.get_attribute("role") == "alert"
    problem.get_by_role("button", name="Try again").click()
    page.locator(".answer", has_text="Reply to Busy.").wait_for()
    assert page.locator(".problem").count() == 0
    assert page.locator(".reply").count() == 1


def test_a_key_is_asked_for_once_and_kept_for_the_tab(browser, address, scripted):
    scripted.key = "secret"
    context = browser.new_context()
    page = context.new_page()
    page.goto(address)
    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    page.locator("#key-form", has_text="refused this key").wait_for()
    page.fill("#key", "secret")
    page.press("#key", "Enter")
    page.locator("#model option").first.wait_for(state="attached")
    assert ask_and_wait(page, "Hello").locator(".answer").inner_text() == "Reply to Hello."
    page.reload()
    ask_and_wait(page, "Again")
    assert page.evaluate("JSON.stringify(localStorage).includes('secret')") is False
    scripted.key = "changed"
    ask(page, "More")
    page.locator("#key-form").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.locator(".reply .problem", has_text="asks for a key").wait_for()
    context.close()


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (("break", ""), "The connection broke; what came is kept."),
        (("error", "the engine has ended; it is started anew"), "the engine has ended; it is started anew"),
    ],
)
def test_a_reply_that_breaks_keeps_what_came(page, scripted, step, told):
    scripted.scripts["Break"] = [("thought", "so far"), ("answer", "half an ans"), step]
    reply = ask_and_wait(page, "Break")
    assert reply.locator(".answer").inner_text() == "half an ans"
    assert reply.locator(".thought-text").text_content() == "so far"
    assert reply.locator(".problem p").inner_text() == told
    del scripted.scripts["Break"]
    reply.get_by_role("button", name="Try again").click()
    page.locator(".answer", has_text="Reply to Break.").wait_for()


def test_a_server_that_is_gone_is_told_of(page, address):
    page.route("**/v1/chat/completions", lambda route: route.abort())
    reply = ask_and_wait(page, "Anyone?")
    assert reply.locator(".problem p").inner_text() == "The server cannot be reached."
    page.unroute("**/v1/chat/completions")
    reply.get_by_role("button", name="Try again").click()
    page.locator(".answer", has_text="Reply to Anyone?.").wait_for()


def test_damaged_storage_is_passed_over(open_page, address):
    page = open_page(address)
    damaged = {"thinkwright.settings": "{", "thinkwright.chat.x": "[1", "thinkwright.chat.y": json.dumps({"turns": 3})}
    page.evaluate("damaged => Object.assign(localStorage, damaged)", damaged)
    page.reload()
    page.locator("#model option").first.wait_for(state="attached")
    assert ask_and_wait(page, "Well?").locator(".answer").inner_text() == "Reply to Well?."
    wait_for_end(page)
    page.observer.assert_nothing_went_wrong()

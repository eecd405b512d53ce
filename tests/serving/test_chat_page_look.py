"""How the chat page looks: readable in both themes, on a phone, without motion where that is not wanted."""

import pytest

from tests.serving.chat_page import ask, ask_and_wait

TEXT = "A [link](https://example.org), `code`, $x^2$, $\\bad{$\n\n> quoted\n\n|a|b|\n|-|-|\n|1|2|\n\n```\nx\n```"
WIDE = (
    "word" * 200
    + "\n\n|"
    + "column|" * 30
    + "\n|"
    + "-|" * 30
    + "\n\n```\n"
    + "x" * 500
    + "\n```\n\n$$"
    + "x+" * 200
    + "x$$"
)
CONTRASTS = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    const parts = color => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data];
    };
    const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = color => parts(color).slice(0, 3).map(value => linear(value / 255))
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = node => {
        while (node && parts(getComputedStyle(node).backgroundColor)[3] === 0) node = node.parentElement;
        return getComputedStyle(node).backgroundColor;
    };
    const ratio = node => {
        const both = [light(getComputedStyle(node).color), light(ground(node))];
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    };
    const hasText = node => [...node.childNodes].some(child => child.nodeType === 3 && child.data.trim());
    return [...document.querySelectorAll("body *")]
        .filter(node => hasText(node) || node.matches("input, textarea"))
        .filter(node => node.checkVisibility() && !node.closest(":disabled, .unseen"))
        .map(node => [`${node.tagName} ${node.className} ${node.id}`, ratio(node)]);
}"""
"""Contrast of each text that is shown with its ground, by the formula of WCAG 2."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(open_page, address, scripted, scheme):
    scripted.scripts["Show"] = [("thought", "a thought"), ("answer", TEXT), ("end", "length")]
    scripted.scripts["Break"] = [("thought", "a thought"), ("break", "")]
    scripted.scripts["Live"] = [("thought", "a thought"), ("wait", "")]
    page = open_page(address, color_scheme=scheme)
    seen = []
    looked = lambda: seen.extend(page.evaluate(CONTRASTS))  # noqa: E731
    looked()
    page.click("#settings-toggle")
    reply = ask_and_wait(page, "Show")
    reply.locator(".thought-toggle").click()
    ask_and_wait(page, "Break")
    looked()
    page.locator(".asked").first.get_by_role("button", name="Edit").click()
    page.get_by_label("Delete Show").click(force=True)
    looked()
    page.check("#compare")
    ask(page, "Show")
    page.locator(".choices").wait_for()
    looked()
    page.get_by_role("button", name="A is better").click()
    page.locator(".ballot b").wait_for()
    ask(page, "Live")
    page.locator(".is-live").first.wait_for()
    looked()
    names = " ".join(name for name, _ in seen)
    for part in (
        "question-text",
        "thought-text",
        "costs",
        "title",
        "CODE",
        "end",
        "temperature",
        "H3",
        "stop",
    ):
        assert part in names
    assert {name: round(ratio, 2) for name, ratio in seen if ratio < 4.5} == {}
    page.observer.assert_nothing_went_wrong()


@pytest.mark.parametrize("width", [320, 360, 800, 1920])
def test_nothing_is_wider_than_the_window(open_page, address, scripted, width):
    scripted.scripts["Wide"] = [("thought", "w" * 600), ("answer", WIDE)]
    page = open_page(address, viewport={"width": width, "height": 700})
    page.click("#settings-toggle")
    reply = ask_and_wait(page, "Wide")
    reply.locator(".thought-toggle").click()
    page.check("#compare")
    ask(page, "Wide")
    page.locator(".choices").wait_for()
    for name in ("html", "#scroller", "#thread"):
        assert page.locator(name).evaluate("node => node.scrollWidth - node.clientWidth") <= 0, name
    for name in ("#send", "#question", "#compare", "#new", "#model", "#second", "#blind", "#history-toggle"):
        box = page.locator(name).bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width, name
    page.observer.assert_nothing_went_wrong()


def test_the_history_of_a_phone_lies_over_the_page_and_goes_away(open_page, address):
    page = open_page(address, viewport={"width": 360, "height": 700})
    ask_and_wait(page, "One")
    assert not page.locator("#history").is_visible()
    page.click("#history-toggle")
    assert page.locator("#history-toggle").get_attribute("aria-expanded") == "true"
    page.locator("#history .title").click()
    page.locator("#history").wait_for(state="hidden")
    page.click("#history-toggle")
    page.keyboard.press("Escape")
    page.locator("#history").wait_for(state="hidden")


@pytest.mark.parametrize(("motion", "name"), [("reduce", "none"), ("no-preference", "breathe")])
def test_nothing_moves_for_readers_who_want_no_motion(open_page, address, scripted, motion, name):
    scripted.scripts["Live"] = [("thought", "a thought"), ("wait", "")]
    page = open_page(address, reduced_motion=motion)
    ask(page, "Live")
    page.locator(".is-live").wait_for()
    moved = page.locator(".is-live .thought-toggle span").evaluate(
        "node => getComputedStyle(node, '::after').animationName"
    )
    assert moved == name


def test_a_reader_who_scrolled_up_is_not_taken_along(page, scripted):
    lines = "\n\n".join(f"line {i}" for i in range(80))
    scripted.scripts["Scroll"] = [("answer", lines), ("wait", ""), ("answer", lines)]
    ask(page, "Scroll")
    page.locator(".answer", has_text="line 79").wait_for()
    top = "document.getElementById('scroller').scrollTop"
    assert page.evaluate(top) > 500
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -600)
    page.locator("#to-end").wait_for()
    before = page.evaluate(top)
    scripted.go_on()
    page.locator("#send").wait_for()
    assert page.evaluate(top) == before
    page.click("#to-end")
    assert page.evaluate(top) > before + 600
    page.locator("#to-end").wait_for(state="hidden")

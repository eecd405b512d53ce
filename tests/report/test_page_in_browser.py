"""The page that stands alone, in a real browser: drawn, filtered, walked through by keys, safe from what is in it."""

import re

import pytest

from tests.report.browser_folder import RIGHT, WRONG, group, member, mixed_groups, write_step
from tests.report.browser_pages import SECONDS, Observer, running_browser
from thinkwright.report.page import write_report

HOSTILE = (
    "<script>alert(1)</script>",
    "</textarea></pre></script><img src=x onerror=alert(2)><svg onload=alert(3)>",
    "left \u202eright\u202c \u200b\u2066 \x1b[31m \ud800 \u2028 &amp; ${alert(4)}",
)
STEPS = 5
CONTRASTS = """() => {
    const parts = color => {
        const [red, green, blue, alpha = 1] = color.match(/[\\d.]+/g).map(Number);
        return [red, green, blue, alpha];
    };
    const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = color => parts(color).slice(0, 3).map(value => linear(value / 255))
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const ground = node => {
        while (parts(getComputedStyle(node).backgroundColor)[3] === 0) node = node.parentElement;
        return getComputedStyle(node).backgroundColor;
    };
    const ratio = node => {
        const both = [light(getComputedStyle(node).color), light(ground(node))];
        return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    };
    const names = ".tags, .question, .gold, .across, .member h4, .member h5, .member pre, .member dt, .member dd, "
        + ".verdict, mark, .absent, #rb-status, legend, #rb-word, kbd, .member summary";
    return [...document.querySelectorAll("#rollouts :is(" + names + ")")]
        .filter(node => node.checkVisibility() && node.textContent && !node.closest(".beside"))
        .map(node => [node.className || node.tagName, ratio(node)]);
}"""
"""Contrast of each text of the browser with its ground, by the formula of WCAG 2."""


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this file."""
    with running_browser() as found:
        yield found


@pytest.fixture
def page(browser):
    """A fresh page, with its observer as ``page.observer``."""
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    opened = context.new_page()
    opened.set_default_timeout(SECONDS)
    opened.observer = Observer(opened)
    yield opened
    context.close()


@pytest.fixture
def path(run_folder):
    """The report of a run with five steps of rollouts."""
    for step in range(STEPS):
        write_step(run_folder, step, mixed_groups(step), [0.5, -0.5, 1.25, -1.25])
    return write_report(run_folder)


def _open(page, path):
    page.goto(path.as_uri())
    page.locator("#rb-groups .member").first.wait_for(state="attached")


def _status(page, text):
    page.locator("#rb-status", has_text=text).wait_for()


def _questions(page):
    return page.locator(".group .question").all_inner_texts()


def test_every_chart_is_drawn(page, path):
    _open(page, path)
    sizes = page.locator("svg.chart, svg.strip").evaluate_all(
        """charts => charts.map(chart => {
            const box = chart.getBoundingClientRect();
            const shapes = [...chart.querySelectorAll("path, polyline, circle, line.mark, rect")];
            const drawn = shapes.filter(shape => { const b = shape.getBBox(); return b.width > 0 || b.height > 0; });
            return [box.width, box.height, drawn.length];
        })"""
    )
    assert len(sizes) > 8
    assert all(width > 50 and height > 10 and drawn for width, height, drawn in sizes)
    curves = page.locator("svg.chart polyline.curve").evaluate_all("all => all.map(one => one.getBBox().width)")
    assert len(curves) > 8
    assert min(curves) > 100
    page.observer.assert_nothing_went_wrong()


def test_the_last_step_is_shown_and_nothing_else_is_asked_for(page, path):
    _open(page, path)
    _status(page, "Step 4: 9 of 9 questions.")
    assert "What is 4/mixed?" in _questions(page)
    card = page.locator(".group", has_text="What is 4/mixed?")
    assert card.locator(".member").count() == 4
    told = card.locator(".member").first.inner_text()
    for words in ("right", "Reward\n2", "accuracy 1, format 1", "0.5", "7 tokens", "stop: ended by itself", "graded"):
        assert words in told
    assert card.locator(".member").first.locator("pre.thought").inner_text() == "step 4 wait"
    assert card.locator(".member").first.locator("pre.answer").inner_text() == "4"
    assert page.observer.requests == [path.as_uri()]
    page.observer.assert_nothing_went_wrong()


CHOICES = (
    ({"verdict": "wrong"}, {"4/all-wrong", "4/mixed", "4/cut", "again/0", "again/1", "again/2", "again/3"}),
    ({"verdict": "right", "family": "arithmetic"}, {"4/all-right", "4/mixed", "4/cut", "4/failed"}),
    ({"verdict": "not-graded"}, {"4/failed"}),
    ({"spread": "flat"}, {"4/all-right", "4/all-wrong"}),
    ({"spread": "all-wrong"}, {"4/all-wrong"}),
    ({"spread": "all-right"}, {"4/all-right"}),
    ({"truncated": True}, {"4/cut"}),
    ({"truncated": True, "verdict": "right"}, set()),
    ({"reward": "highest", "family": "facts"}, {"again/0", "again/1", "again/2", "again/3"}),
    ({"reward": "lowest", "family": "ordering"}, {"4/all-wrong"}),
    ({"word": "ON AND"}, {"4/cut"}),
    ({"word": "wait", "verdict": "wrong"}, set()),
    ({"word": ".*"}, set()),
)


def test_filters_combine(page, path):
    for choices, expected in CHOICES:
        _open(page, path)
        for name, value in choices.items():
            if name == "word":
                page.fill("#rb-word", value)
            elif value is True:
                page.check(f"#rb-{name}")
            else:
                page.select_option(f"#rb-{name}", value)
        _status(page, f"Step 4: {len(expected)} of 9 questions.")
        assert {one.removeprefix("What is ").removesuffix("?") for one in _questions(page)} == expected
    page.observer.assert_nothing_went_wrong()


def test_a_found_word_is_marked_and_the_others_are_pale(page, path):
    _open(page, path)
    page.fill("#rb-word", "and on")
    _status(page, "Step 4: 1 of 9 questions.")
    assert page.locator(".member mark").first.inner_text() == "and on"
    assert page.locator(".member.beside").count() == 2


def test_the_step_is_chosen_by_number_slider_and_buttons(page, path):
    _open(page, path)
    page.click("#rb-previous")
    _status(page, "Step 3:")
    page.fill("#rb-step", "1")
    page.press("#rb-step", "Enter")
    _status(page, "Step 1:")
    page.locator("#rb-slider").fill("0")
    _status(page, "Step 0:")
    page.click("#rb-previous")
    page.click("#rb-next")
    _status(page, "Step 1:")
    assert "What is 1/mixed?" in _questions(page)


def test_the_same_question_is_shown_across_steps(page, path):
    _open(page, path)
    page.locator(".group", has_text="What is again/2?").get_by_role("button").click()
    _status(page, "The question stands at steps 0, 1, 2, 3, 4; looked for at 5 steps.")
    assert _questions(page) == ["What is again/2?"] * STEPS
    page.keyboard.press("Escape")
    _status(page, "Step 4: 9 of 9 questions.")


def test_held_out_questions_are_shown_across_evaluations(page, path):
    _open(page, path)
    page.select_option("#rb-source", "evaluations")
    _status(page, "Step 60: 56 of 56 questions.")
    assert page.locator(".group").count() == 20
    page.click("#rb-more")
    assert page.locator(".group").count() == 40
    page.locator(".group").first.get_by_role("button").click()
    _status(page, "The question stands at steps 0, 20, 40, 60; looked for at 4 steps.")
    assert len(set(_questions(page))) == 1
    page.observer.assert_nothing_went_wrong()


def _focused(page):
    return page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.id")


def test_keys_lead_through_groups_and_members(page, path):
    _open(page, path)
    told = []
    for key in ("j", "j", "l", "l", "h", "k", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        told.append(re.match(r"(Question|Completion) \d+", _focused(page))[0])
    assert told == [
        "Question 1", "Question 2", "Completion 1", "Completion 2", "Completion 1", "Question 1", "Question 2",
        "Completion 1", "Completion 2", "Question 1",
    ]  # fmt: skip
    outline = page.evaluate(
        "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth"
    )
    assert outline == "solid3px"
    page.keyboard.press("[")
    _status(page, "Step 3:")
    page.keyboard.press("]")
    _status(page, "Step 4:")


def test_keys_lead_to_the_search_and_back_and_to_the_exact_text(page, path):
    _open(page, path)
    page.keyboard.press("/")
    assert _focused(page) == "rb-word"
    page.keyboard.type("jk")  # letters are typed there
    assert page.input_value("#rb-word") == "jk"
    page.fill("#rb-word", "")
    page.keyboard.press("Escape")
    assert _focused(page).startswith("Question 1")
    page.keyboard.press("l")
    page.keyboard.press("e")
    exact = page.locator(".member").first.locator("details.exact pre")
    exact.wait_for()
    assert exact.inner_text() == RIGHT.format("step 4 wait")


def test_single_keys_can_be_switched_off(page, path):
    _open(page, path)
    page.locator(".rb-keys summary").click()
    page.uncheck("#rb-letters")
    page.keyboard.press("j")
    assert _focused(page) == "rb-letters"


def test_controls_have_names_and_the_keys_are_told(page, path):
    _open(page, path)
    unnamed = page.locator("#rollouts input, #rollouts select, #rollouts button").evaluate_all(
        "all => all.filter(one => !one.labels?.length && !one.ariaLabel && !one.textContent.trim()).map(one => one.id)"
    )
    assert unnamed == []
    assert page.locator("#rb-status").get_attribute("aria-live") == "polite"
    page.locator(".rb-keys summary").click()
    assert page.locator(".rb-keys kbd").all_inner_texts() == ["j k", "l h", "arrows", "] [", "e", "/", "Esc"]


def test_what_a_model_wrote_is_text_and_only_text(page, run_folder):
    members = [member(text.join(RIGHT.split("{}"))) for text in HOSTILE]
    members += [member("<think>" + "y" * 1_000_000 + "</think> <answer>5</answer>", 0.0, finish="length")]
    odd = {"question": HOSTILE[1], "gold": HOSTILE[0], "family": HOSTILE[0], "language": '"><script>alert(5)</script>'}
    write_step(run_folder, 0, [group("<script>alert(6)</script>", members, **odd)])
    path = write_report(run_folder)
    assert path.stat().st_size < 5_000_000
    _open(page, path)
    for details in page.locator("details.exact").all():
        details.locator("summary").click()
    assert page.locator(".question", has_text=HOSTILE[1]).count() >= 1
    for text in HOSTILE[:2]:
        assert page.locator("pre.thought", has_text=text).count() == 1
    shown = page.locator(".member").nth(2).locator("pre.thought").inner_text()
    assert shown == ("left [U+202E]right[U+202C] [U+200B][U+2066] [U+001B][31m [U+D800] [U+2028] &amp; ${alert(4)}")
    assert page.locator(".left-out").first.inner_text().startswith("\u2026 9")
    assert len(page.locator(".member").nth(3).locator("pre.thought").inner_text()) < 25_000
    page.fill("#rb-word", "<img")
    _status(page, "Step 0: 1 of 1 questions.")
    assert page.locator("img, textarea, svg[onload], #rollouts script").count() == 0
    assert page.observer.requests == [path.as_uri()]
    page.observer.assert_nothing_went_wrong()


def test_only_the_pages_own_script_may_run(page, path):
    page.goto(path.as_uri())
    page.evaluate("""() => {
        for (const text of ["window.ran = 1", "fetch('https://example.org/')"]) {
            const script = document.createElement("script");
            script.textContent = text;
            document.body.append(script);
        }
    }""")
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in error for error in page.observer.errors)
    assert page.observer.requests == [path.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_the_browser_has_a_readable_contrast(browser, path, scheme):
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    _open(page, path)
    page.fill("#rb-word", "step")
    ratios = page.evaluate(CONTRASTS)
    context.close()
    assert len(ratios) > 50
    assert [ratio for ratio in ratios if ratio[1] < 4.5] == []


def test_wrong_and_right_are_told_by_words_not_by_colour_alone(page, path):
    _open(page, path)
    card = page.locator(".group", has_text="What is 4/mixed?")
    assert card.locator(".verdict").all_inner_texts() == ["right", "wrong", "wrong", "right"]


def test_a_broken_step_is_told(page, run_folder):
    for step in range(2):
        write_step(run_folder, step, [group("a", [member(WRONG, 0.0)])])
    (run_folder / "rollouts" / "step_000001.jsonl.zst").write_bytes(b"broken")
    page.goto(write_report(run_folder).as_uri())
    _status(page, "step_000001.jsonl.zst could not be read")
    page.click("#rb-previous")
    _status(page, "Step 0: 1 of 1 questions.")
    page.observer.assert_nothing_went_wrong()

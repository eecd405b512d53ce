"""The live page in a real browser: kept up to date for every viewer, without losing what a reader does."""

import json
import shutil

import pytest

from bench.page import make_large_run
from tests.report.browser_folder import mixed_groups, write_step
from tests.report.browser_pages import SECONDS, Observer, running_browser
from tests.report.conftest import write_json
from tests.report.watch_process import watching


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of this file."""
    with running_browser() as found:
        yield found


@pytest.fixture
def open_page(browser):
    """Open viewers, each a browser profile of its own."""
    contexts = []

    def start(address):
        contexts.append(browser.new_context(viewport={"width": 1000, "height": 700}))
        page = contexts[-1].new_page()
        page.set_default_timeout(SECONDS)
        page.observer = Observer(page)
        page.goto(address)
        return page

    yield start
    for context in contexts:
        context.close()


def _append(folder, **row):
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def _status(page, text):
    page.locator("#rb-status", has_text=text).wait_for()


def _is_live(page):
    page.locator("#live", has_text="up to date").wait_for()


def test_all_viewers_see_a_new_row(run_folder, open_page):
    (run_folder / "summary.json").unlink()
    with watching(run_folder) as address:
        viewers = [open_page(address) for _ in range(2)]
        for page in viewers:
            _is_live(page)
            assert page.locator("h1").inner_text().startswith("Not finished (60 of 60 steps)")
        _append(run_folder, step=60)
        for page in viewers:
            page.locator("h1", has_text="61 of 60 steps").wait_for()
            page.locator("#live", has_text="metrics changed at").wait_for()
            page.observer.assert_nothing_went_wrong()


def test_an_evaluation_an_alarm_and_a_status_appear(run_folder, open_page):
    (run_folder / "summary.json").unlink()
    with watching(run_folder) as address:
        page = open_page(address)
        _is_live(page)
        evaluation = json.loads((run_folder / "eval" / "step_000060.json").read_text())
        write_json(run_folder / "eval" / "step_000061.json", evaluation | {"step": 61})
        page.locator("#live", has_text="evaluation changed").wait_for()
        alarm = {"event": "alarm", "step": 7, "text": "the reward <b>was</b> 0"}
        (run_folder / "events.jsonl").write_text(json.dumps(alarm) + "\n")
        page.locator(".notes", has_text="Alarm at step 7: the reward <b>was</b> 0.").wait_for()
        write_json(run_folder / "summary.json", {"status": "finished", "steps": 60})
        page.locator("h1", has_text="A model").wait_for()
        page.observer.assert_nothing_went_wrong()


def test_a_reader_keeps_what_is_open_typed_and_scrolled_to(run_folder, open_page):
    for step in range(3):
        write_step(run_folder, step, mixed_groups(step))
    with watching(run_folder) as address:
        page = open_page(address)
        _status(page, "Step 2: 9 of 9 questions.")
        page.locator("#settings details.recipe summary").click()
        page.fill("#rb-word", "step")
        page.locator(".member details.exact summary").first.click()
        page.locator("#rollouts").evaluate("node => node.scrollIntoView({behavior: 'instant'})")
        top = page.locator("#rollouts").evaluate("node => Math.round(node.getBoundingClientRect().top)")
        card = page.locator(".group").first.element_handle()
        alarm = {"event": "alarm", "step": 1, "text": "a note that makes the page above it longer"}
        (run_folder / "events.jsonl").write_text(json.dumps(alarm) + "\n")
        _append(run_folder, step=60)
        write_step(run_folder, 3, mixed_groups(3))
        page.locator(".notes", has_text="Alarm at step 1").wait_for(state="attached")
        page.locator("#rb-slider[max='3']").wait_for(state="attached")
        assert page.locator("#settings details.recipe").get_attribute("open") is not None
        assert page.input_value("#rb-word") == "step"
        assert page.locator(".member details.exact").first.get_attribute("open") is not None
        assert card.evaluate("node => node.isConnected")
        now = page.locator("#rollouts").evaluate("node => Math.round(node.getBoundingClientRect().top)")
        assert abs(now - top) <= 2
        page.click("#rb-next")
        _status(page, "Step 3:")
        page.observer.assert_nothing_went_wrong()


def test_a_run_that_begins_again_replaces_the_old_one(run_folder, open_page):
    write_step(run_folder, 5, mixed_groups(5))
    recipe = (run_folder / "recipe.json").read_text()
    with watching(run_folder) as address:
        page = open_page(address)
        _status(page, "Step 5:")
        shutil.rmtree(run_folder)
        page.locator("h1", has_text="Waiting for the run to begin").wait_for()
        run_folder.mkdir()
        (run_folder / "recipe.json").write_text(recipe)
        page.locator("h1", has_text="Nothing to tell yet").wait_for()
        _append(run_folder, step=0, **{"reward/total": 1.0})
        write_step(run_folder, 0, mixed_groups(9))
        _status(page, "Step 0: 9 of 9 questions.")
        assert "What is 9/mixed?" in page.locator(".group .question").all_inner_texts()
        page.observer.assert_nothing_went_wrong()


def test_a_viewer_outlives_its_server(run_folder, open_page):
    with watching(run_folder) as address:
        page = open_page(address)
        _is_live(page)
    page.locator("#live", has_text="no connection").wait_for()
    _append(run_folder, step=60)
    with watching(run_folder, int(address.rstrip("/").rpartition(":")[2])):
        page.locator("#settings", has_text="Steps done").wait_for(state="attached")
        _is_live(page)
        assert "the run has gone on since" in page.locator(".notes").inner_text()


def test_a_pipelines_page_leads_to_its_stages(run_folder, open_page, tmp_path):
    folder = tmp_path / "whole"
    rows = [{"name": "zero", "type": "rl", "inputs": [], "gates": []}]
    write_json(folder / "pipeline.json", {"name": "whole.toml", "stages": rows})
    (folder / "stages").mkdir()
    stage = run_folder.rename(folder / "stages" / "01-zero")
    write_step(stage, 2, mixed_groups(2))
    with watching(folder) as address:
        page = open_page(address)
        _is_live(page)
        page.get_by_role("link", name="01-zero").first.click()
        _status(page, "Step 2: 9 of 9 questions.")
        _is_live(page)
        page.observer.assert_nothing_went_wrong()


def test_a_large_run_opens_and_any_of_its_steps_is_shown(open_page, tmp_path):
    make_large_run(tmp_path / "large", 2000, every=500, num_distinct=2)
    with watching(tmp_path / "large") as address:
        page = open_page(address)
        _status(page, "Step 1999: 16 of 16 questions.")
        assert page.locator(".group").first.locator(".member").count() == 16
        asked = [url.removeprefix(address) for url in page.observer.requests]
        assert [name for name in asked if name.startswith("rollouts/")] == ["rollouts/1999"]
        page.fill("#rb-step", "700")
        page.press("#rb-step", "Enter")
        _status(page, "Step 700: 16 of 16 questions.")
        page.observer.assert_nothing_went_wrong()

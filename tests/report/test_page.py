import json
import os
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from tests.report.conftest import metrics_of, write_json
from thinkwright.errors import RunFolderError
from thinkwright.report.page import render_folder, write_report

SECTIONS = ("result", "pictures", "examples", "overview", "settings")
MOST_BYTES = 5_000_000
VOID = {"meta", "br", "img", "link", "input", "hr"}


class _Outline(HTMLParser):
    """Elements met, links, and whether every element is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links, self.misplaced = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        self.misplaced += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.misplaced.append(tag)


def _outline(page):
    outline = _Outline()
    outline.feed(page)
    outline.close()
    return outline


def test_the_page_is_whole_and_its_sections_stand_in_order(run_folder):
    path = write_report(run_folder)
    assert path == run_folder / "report.html"
    page = path.read_text(encoding="utf-8")
    outline = _outline(page)
    assert (outline.open, outline.misplaced) == ([], [])
    positions = [page.index(f'<section id="{name}">') for name in SECTIONS]
    assert page.index("<h1>A model") < positions[0]
    assert positions == sorted(positions)


def test_the_page_loads_nothing_and_runs_nothing_but_its_own_script(run_folder):
    page = write_report(run_folder).read_text(encoding="utf-8")
    outline = _outline(page)
    assert all(link.startswith("#") for link in outline.links)
    assert re.findall(r"<script[^>]*>", page) == [
        '<script type="application/json" id="page-data">',
        '<script id="browser">',
    ]
    assert not {"img", "link", "iframe", "object"} & outline.tags
    assert not re.search(r"url\(|@import|https?://", page)


def test_nasty_model_text_is_shown_and_harmless(run_folder):
    page = write_report(run_folder).read_text(encoding="utf-8")
    assert "&lt;script&gt;alert(&#x27;owned&#x27;)&lt;/script&gt; ]]&gt;" in page
    assert "[U+202E]" in page
    assert not set("\u202e\u2066\u200b\x1b\x00\r\ud800") & set(page)
    assert "x" * 3000 in page


def test_a_nasty_run_name_and_command_are_escaped(run_folder, edit):
    edit("environment.json", argv=["</pre><script>x</script>"], machine={"cpu": "<b>"})
    renamed = run_folder.rename(run_folder.with_name("<script>run"))
    assert "<script>" not in write_report(renamed).read_text(encoding="utf-8")


def test_every_chart_is_well_formed(run_folder):
    page = write_report(run_folder).read_text(encoding="utf-8")
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) > 8
    for drawing in drawings:
        ElementTree.fromstring(drawing)


@pytest.mark.parametrize("name", ["recipe.json", "environment.json", "metrics.jsonl", "summary.json", "eval"])
def test_any_one_file_alone_gives_a_whole_page(run_folder, name):
    for path in [path for path in run_folder.iterdir() if path.name != name]:
        path.rename(run_folder.parent / path.name)
    outline = _outline(write_report(run_folder).read_text(encoding="utf-8"))
    assert (outline.open, outline.misplaced) == ([], [])


def test_a_run_in_progress_says_so(run_folder):
    (run_folder / "summary.json").unlink()
    page = write_report(run_folder).read_text(encoding="utf-8")
    assert "<h1>Not finished (60 of 60 steps), so far:" in page
    assert "summary.json is not there: the run is still in progress" in page


def test_a_failed_write_leaves_the_old_page_and_no_other_file(run_folder, monkeypatch):
    (run_folder / "report.html").write_text("old")
    before = sorted(os.listdir(run_folder))

    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(RunFolderError, match="cannot be written"):
        write_report(run_folder)
    assert (run_folder / "report.html").read_text() == "old"
    assert sorted(os.listdir(run_folder)) == before


def test_a_folder_that_is_no_run_is_left_alone(tmp_path):
    with pytest.raises(RunFolderError):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_base_model_is_told_as_one_and_compared_with_nothing(pretraining_folder):
    page = write_report(pretraining_folder).read_text(encoding="utf-8")
    assert "<h1>A base model that imitates text: " in page
    assert "made to go step by step, in 2 minutes on this machine.</h1>" in page
    assert "<h3>Training loss</h3>" in page
    assert "<th>Base, left free</th>" in page
    assert "<code>documents_per_step</code></th><td><code>256</code></td><td>Questions with replies" in page
    assert not [claim for claim in ("Before", "Change", "GRPO", "Not measured", "learned to think") if claim in page]
    outline = _outline(page)
    assert (outline.open, outline.misplaced) == ([], [])


def test_alarms_and_the_doctors_warnings_stand_at_the_top(run_folder):
    check = {"name": "isolation", "status": "warning", "found": "programs <b>run</b> free", "remedy": ""}
    (run_folder / "doctor.json").write_text(json.dumps({"checks": [check, check | {"status": "ok"}]}))
    events = [{"event": "alarm", "step": 7, "text": "the reward was 0\n  for example <i>this</i>"}, {"event": "start"}]
    (run_folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    page = write_report(run_folder).read_text(encoding="utf-8")
    assert page.count("<li>Before the run, isolation: programs &lt;b&gt;run&lt;/b&gt; free.</li>") == 1
    assert "<li>Alarm at step 7: the reward was 0.</li>" in page
    assert "for example" not in page.partition("<main>")[0]


def test_the_page_of_a_folder_is_what_is_written_and_nothing_is_written_for_it(run_folder):
    before = sorted(os.listdir(run_folder))
    page = render_folder(run_folder)
    assert sorted(os.listdir(run_folder)) == before
    assert write_report(run_folder).read_text(encoding="utf-8") == page


@pytest.mark.slow
def test_a_page_of_2_000_steps_of_long_hostile_text_stays_under_5_mb(run_folder):
    """Texts far over what is shown, among them of characters whose HTML is seventy times as long; an alarm a step."""
    (run_folder / "metrics.jsonl").write_text("".join(json.dumps(metrics_of(i)) + "\n" for i in range(2000)))
    texts = ("<script>" * 2_000, "\u202e" * 12_000, "\u7b49" * 12_000, "word " * 5_000)
    last = json.loads((run_folder / "eval" / "step_000060.json").read_text())
    for row, text in zip(last["samples"], texts * 28, strict=True):
        row |= {"thought": text, "answer": text, "text": text, "question": text, "gold": text, "is_well_formed": False}
    write_json(run_folder / "eval" / "step_002000.json", last | {"step": 2000})
    for step in range(0, 2000, 10):
        short = {"step": step, "figures": last["figures"], "samples": []}
        write_json(run_folder / "eval" / f"step_{step:06d}.json", short)
    first = {"step": 0, "figures": last["figures"], "samples": last["samples"]}
    write_json(run_folder / "eval" / "step_000000.json", first)
    events = [{"event": "alarm", "step": i, "text": "x" * 2_000} for i in range(2000)]
    (run_folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    page = render_folder(run_folder)
    assert 500_000 < len(page.encode()) <= MOST_BYTES
    assert "characters left out]</span>" in page
    outline = _outline(page)
    assert (outline.open, outline.misplaced) == ([], [])
    assert page.count("<script") == 2  # what the page's own script reads, and the script

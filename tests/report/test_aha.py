import json

import pytest

from tests.report.browser_folder import RIGHT, group, member, write_step
from thinkwright.report.aha import BASE_STEPS, MIN_MARGIN, aha_section, find_onset, marked
from thinkwright.report.page import write_report
from thinkwright.report.series import read_run


def _points(rates):
    return tuple((float(step), rate) for step, rate in enumerate(rates))


def _is_checking(text):
    return "check" in text


def test_a_rate_appears_above_the_margin_and_holds_where_it_stays():
    rates = [0.1] * 20 + [0.13] + [0.1] * 9 + [0.3] * 30
    onset = find_onset(_points(rates))
    assert onset.base == pytest.approx(0.1)
    assert onset.line == pytest.approx(0.1 + MIN_MARGIN)
    assert onset.appears == 20
    # Means over five steps centred at 28 and 29 reach into the rise: 0.14 and 0.18.
    assert onset.holds == 28


def test_the_margin_grows_with_the_noise_of_the_first_steps():
    onset = find_onset(_points([0.0, 0.1, 0.0, 0.1, 0.05] + [0.15] * 20))
    assert onset.line == pytest.approx(0.05 + 3 * 0.05)
    assert (onset.appears, onset.holds) == (None, None)


def test_a_rate_that_falls_back_does_not_hold():
    onset = find_onset(_points([0.0] * 10 + [0.5] * 10 + [0.0] * 10))
    assert (onset.appears, onset.holds) == (10, None)


def test_a_rise_in_the_last_steps_alone_does_not_hold_yet():
    onset = find_onset(_points([0.0] * 20 + [0.5] * 3))
    assert (onset.appears, onset.holds) == (20, None)


def test_a_hold_is_not_before_the_appearance():
    onset = find_onset(_points([0.0] * 10 + [0.9] * 20))
    assert onset.appears == 10
    assert onset.holds == 10


def test_few_steps_tell_nothing():
    assert find_onset(_points([0.0] * BASE_STEPS)) is None


def test_the_words_that_count_are_marked_and_the_rest_is_escaped():
    assert marked("a <b>\nnow check it\n", _is_checking) == "a &lt;b&gt;\nnow <mark>check</mark> it\n"
    assert marked("nothing", _is_checking) == "nothing"


def test_lines_that_count_only_together_are_marked_together():
    def says_both(text):
        return "one" in text and "two" in text

    assert marked("zero\none\nmid\ntwo\nend", says_both) == "zero\n<mark>one\nmid\ntwo\n</mark>end"


def test_chinese_is_marked_by_characters():
    assert marked("我们检查一下", lambda text: "检查" in text) == "我们<mark>检查</mark>一下"


@pytest.fixture
def rising_folder(tmp_path):
    """A run of 40 steps in which checking begins at step 20 and correcting never."""
    (tmp_path / "recipe.json").write_text(json.dumps({"type": "rl", "steps": 40}))
    rates = [0.0] * 20 + [0.5] * 20
    rows = [{"step": i, "rollout/checking_rate": rate, "rollout/correcting_rate": 0.0} for i, rate in enumerate(rates)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    checking, plain = RIGHT.format("2+2=4\nlet me check: <i>4</i>"), RIGHT.format("2+2=4")
    for step in (0, 20, 39):
        members = [member(checking if step else plain), member(plain)]
        write_step(tmp_path, step, [group(f"{step}/{i}", members) for i in range(5)])
    return tmp_path


def test_the_section_tells_steps_counts_and_examples(rising_folder):
    page = aha_section(read_run(rising_folder), rising_folder)
    assert "It appears at step <b>20</b>, and it holds from step <b>20</b> on: 0.0% of completions" in page
    assert "Step 20: 5 of 10 completions (50.0%)." in page
    assert page.count("aha-example") == 3
    assert "let me <mark>check</mark>: &lt;i&gt;4&lt;/i&gt;" in page
    assert "It does not appear: 0.0% of completions" in page
    assert "<svg" in page


def test_only_the_files_of_those_steps_are_read(rising_folder):
    from thinkwright.run_folder import read_rollouts

    read = []
    aha_section(read_run(rising_folder), rising_folder, lambda path: read.append(path.name) or read_rollouts(path))
    assert read == ["step_000020.jsonl.zst"]


@pytest.mark.parametrize("content", [None, b"broken"])
def test_a_missing_or_broken_file_is_told(rising_folder, content):
    path = rising_folder / "rollouts" / "step_000020.jsonl.zst"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    page = aha_section(read_run(rising_folder), rising_folder)
    assert ("could not be read" if content else "The completions of step 20 are not there.") in page


def test_a_run_without_these_metrics_says_so(run_folder):
    for kind in ("checking", "correcting"):
        text = (run_folder / "metrics.jsonl").read_text()
        (run_folder / "metrics.jsonl").write_text(text.replace(f"rollout/{kind}_rate", f"rollout/other_{kind}"))
    assert "Not measured: metrics.jsonl has no rollout/checking_rate" in aha_section(read_run(run_folder), run_folder)


def test_pretraining_has_no_such_section(pretraining_folder):
    assert '<section id="aha">' not in write_report(pretraining_folder).read_text(encoding="utf-8")

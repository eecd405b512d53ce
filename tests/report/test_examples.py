import json
from collections import Counter

from thinkwright.report.examples import FIXED, KEPT, LOST, STILL_WRONG, Pair, choose, examples_section, pairs_of
from thinkwright.report.series import read_run


def _pair(i, family, was, now):
    sample = {"prompt_id": f"{family}/{i}", "family": family}
    return Pair(sample | {"is_correct": was}, sample | {"is_correct": now})


def _many(family, **counts):
    kinds = {"fixed": (False, True), "kept": (True, True), "lost": (True, False), "still": (False, False)}
    return [_pair(f"{kind}-{i}", family, *kinds[kind]) for kind, count in counts.items() for i in range(count)]


def test_pairs_are_the_first_samples_of_the_same_question():
    before = [{"prompt_id": "a", "text": "1"}, {"prompt_id": "a", "text": "2"}, {"prompt_id": "b", "text": "3"}]
    after = [{"prompt_id": "a", "text": "4"}, {"prompt_id": "a", "text": "5"}, {"prompt_id": "c", "text": "6"}]
    assert [(pair.before["text"], pair.after["text"]) for pair in pairs_of(before, after)] == [("1", "4")]


def test_at_least_three_still_wrong_and_one_lost_are_shown_however_many_were_fixed():
    counts = Counter(pair.change for pair in choose(_many("a", fixed=50, lost=2, still=5) + _many("b", fixed=50)))
    assert counts == {FIXED: 12, LOST: 1, STILL_WRONG: 3}


def test_still_wrong_ones_come_from_different_families():
    pairs = [pair for family in "abc" for pair in _many(family, fixed=9, still=9)]
    shown = [pair.before["family"] for pair in choose(pairs) if pair.change == STILL_WRONG]
    assert sorted(shown) == ["a", "b", "c"]


def test_families_take_turns_and_give_what_became_right_first():
    pairs = [pair for family in "abcd" for pair in _many(family, fixed=4, kept=20)] + _many("e", kept=30)
    chosen = choose(pairs)
    by_family = Counter(pair.before["family"] for pair in chosen)
    assert by_family == {"a": 4, "b": 3, "c": 3, "d": 3, "e": 3}
    assert {pair.before["family"] for pair in chosen if pair.change == KEPT} == {"e"}


def test_few_questions_are_all_shown_once():
    pairs = _many("a", fixed=1, kept=1, lost=1, still=1)
    assert sorted(p.before["prompt_id"] for p in choose(pairs)) == sorted(p.before["prompt_id"] for p in pairs)


def test_the_counts_cover_every_question_and_each_shown_response_is_labelled(run_folder):
    run = read_run(run_folder)
    page = examples_section(run)
    firsts = [{s["prompt_id"]: s["is_correct"] for s in reversed(run.evaluations[i]["samples"])} for i in (0, -1)]
    became_right = sum(firsts[1][name] and not right for name, right in firsts[0].items())
    assert f"<b>{became_right}</b> became right" in page
    assert page.count('class="verdict ') == 2 * page.count("<article") == 32
    assert page.count('<article class="example stayed-wrong"') >= 3


def test_thought_and_answer_stand_apart_and_a_missing_answer_is_told(run_folder):
    path = run_folder / "eval" / "step_000060.json"
    row = json.loads(path.read_text())
    for sample in row["samples"]:
        sample.update(thought="one two", answer=None, text="<think>one two")
        sample.update(is_well_formed=False, finish_reason="length")
    path.write_text(json.dumps(row))
    page = examples_section(read_run(run_folder))
    assert '<pre class="thought" lang="en">one two</pre>' in page
    assert "No answer where one is looked for" in page
    assert "cut off at the limit" in page
    assert "&lt;think&gt;one two" in page


def test_one_evaluation_is_not_enough_to_compare(run_folder):
    for step in (20, 40, 60):
        (run_folder / "eval" / f"step_{step:06d}.json").unlink()
    assert "nothing to compare" in examples_section(read_run(run_folder))

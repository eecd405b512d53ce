import json

import pytest

from tests.report.browser_folder import RIGHT, WRONG, group, member, mixed_groups, write_step
from thinkwright.chat.template import TEMPLATES
from thinkwright.report.rollout_data import (
    ALL_RIGHT,
    ALL_WRONG,
    EQUAL,
    EVALUATIONS,
    ROLLOUTS,
    alarm_steps,
    cut_group,
    read_step,
    told_apart,
    value_of,
)


def _read(folder, step=0):
    return read_step(ROLLOUTS, step, ROLLOUTS.files(folder)[step])


def _part(found, name):
    return found["pieces"][found[name]] if isinstance(found.get(name), int) else found.get(name)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("r1_zero", "<think> one </think> <answer> 1 </answer>"),
        ("r1_zero", "<think>think</think> <answer>answer</answer>"),
        ("r1_zero", "no tags at all"),
        ("r1_zero", ""),
        ("r1_zero", "<think><think>twice</think> <answer></answer>"),
        ("r1_zero_prefilled", " one </think> <answer> 1 </answer>"),
        ("think_summary", "<think>a</think> The answer is 4."),
        ("think_summary", "an answer alone"),
        ("boxed", "so it is \\boxed{4}, as said"),
    ],
)
def test_pieces_give_the_exact_text_and_hold_thought_and_answer(template, text):
    reply = TEMPLATES[template].split(text)
    found = told_apart(text, reply.thought, reply.answer)
    assert "".join(found["pieces"]) == text
    assert _part(found, "thought") == reply.thought
    if template != "boxed":
        assert _part(found, "answer") == reply.answer


def test_the_answer_of_a_boxed_reply_is_what_follows_the_thought():
    text = "so it is \\boxed{4}, as said"
    reply = TEMPLATES["boxed"].split(text)
    found = told_apart(text, reply.thought, reply.answer)
    assert (_part(found, "thought"), _part(found, "answer")) == ("so it is", "\\boxed{4}, as said")


def test_a_member_tells_all_but_its_token_ids(tmp_path):
    write_step(tmp_path, 0, [group("a", [member(RIGHT.format("x"), num_tokens=9)])], [0.123456])
    (found,) = _read(tmp_path)["groups"]
    assert found["members"] == [
        {
            "pieces": ["<think>", "x", "</think> <answer>", "4", "</answer>"], "thought": 1, "answer": 3,
            "scores": {"accuracy": 1, "format": 1}, "tokens": 9, "reward": 2, "right": True, "advantage": 0.1235,
        }
    ]  # fmt: skip
    assert (found["id"], found["question"], found["gold"], found["family"]) == ("a", "What is a?", "4", "arithmetic")


@pytest.mark.parametrize("advantages", [None, [None, None]])
def test_an_advantage_that_is_not_known_is_left_out(tmp_path, advantages):
    write_step(tmp_path, 0, [group("a", [member(RIGHT)] * 2)], advantages)
    assert all("advantage" not in one for one in _read(tmp_path)["groups"][0]["members"])


def test_what_was_not_graded_has_a_reason_and_no_reward(tmp_path):
    write_step(tmp_path, 0, [group("a", [member(RIGHT, outcome="failed", detail="accuracy: it broke")])])
    (found,) = _read(tmp_path)["groups"][0]["members"]
    assert (found["outcome"], found["detail"]) == ("failed", "accuracy: it broke")
    assert not {"reward", "right"} & set(found)
    assert value_of(found) is None


def test_groups_without_variance_are_told_by_what_they_share(tmp_path):
    write_step(tmp_path, 0, mixed_groups(0))
    spreads = {one["id"]: one.get("spread") for one in _read(tmp_path)["groups"]}
    assert spreads["0/all-right"] == ALL_RIGHT
    assert spreads["0/all-wrong"] == ALL_WRONG
    assert {spreads["0/mixed"], spreads["0/cut"], spreads["0/failed"], spreads["again/0"]} == {None}


def test_equal_rewards_of_right_and_wrong_are_neither(tmp_path):
    from dataclasses import replace

    same = [replace(member(RIGHT), reward=1.0), replace(member(WRONG, 0.0), reward=1.0)]
    write_step(tmp_path, 0, [group("a", same)])
    assert _read(tmp_path)["groups"][0]["spread"] == EQUAL


def test_a_step_knows_its_highest_and_lowest_reward(tmp_path):
    write_step(tmp_path, 0, mixed_groups(0))
    found = _read(tmp_path)
    assert (found["highest"], found["lowest"], found["of"]) == (2, 1, 9)


@pytest.mark.parametrize("content", [b"", b"no zstandard", None])
def test_a_broken_file_is_told_and_gives_no_groups(tmp_path, content):
    path = write_step(tmp_path, 0, mixed_groups(0))
    path.write_bytes(path.read_bytes()[:60] if content is None else content)
    found = _read(tmp_path)
    assert found["groups"] == []
    assert "step_000000.jsonl.zst could not be read" in found["error"]


def test_rows_of_another_form_are_told(tmp_path):
    (tmp_path / "eval").mkdir()
    for text in ("[]", "{}", '{"samples": [{"prompt_id": 1}]}', '{"samples": 3}'):
        (tmp_path / "eval" / "step_000000.json").write_text(text)
        assert "could not be read" in read_step(EVALUATIONS, 0, tmp_path / "eval" / "step_000000.json")["error"]


def test_samples_of_a_question_stand_together(run_folder):
    path = EVALUATIONS.files(run_folder)[20]
    found = read_step(EVALUATIONS, 20, path)
    rows = json.loads(path.read_text())["samples"]
    assert found["of"] == len({row["prompt_id"] for row in rows}) == 56
    assert [len(one["members"]) for one in found["groups"]] == [2] * 56
    texts = ["".join(one["pieces"]) for each in found["groups"] for one in each["members"]]
    assert texts == [row["text"] for row in rows]
    rights = [one["right"] for each in found["groups"] for one in each["members"]]
    assert rights == [row["is_correct"] for row in rows]


def test_a_long_text_keeps_its_ends_and_tells_what_is_left_out(tmp_path):
    text = RIGHT.format("a" * 500_000 + "b" * 500_000)
    write_step(tmp_path, 0, [group("a", [member(text)], gold="g" * 5000)])
    found = cut_group(_read(tmp_path)["groups"][0], 900)
    head, left_out, tail = found["members"][0]["pieces"][1]
    assert (head, left_out, tail) == ("a" * 600, 1_000_000 - 900, "b" * 300)
    assert found["members"][0]["pieces"][3] == "4"
    assert found["gold"][1] == 4100


def test_alarms_are_found_among_the_events(tmp_path):
    rows = [{"event": "alarm", "step": 7}, {"event": "started"}, {"event": "alarm", "step": 3}, [1]]
    (tmp_path / "events.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{broken")
    assert alarm_steps(tmp_path) == [3, 7]
    assert alarm_steps(tmp_path / "nowhere") == []

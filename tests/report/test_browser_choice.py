import json

import pytest

from tests.report.browser_folder import RIGHT, WRONG, group, member, mixed_groups, write_step
from thinkwright.report.browser import rollouts_section
from thinkwright.report.browser_choice import BUDGET_BYTES, choose_steps, in_turns, page_data
from thinkwright.report.document import embedded_json
from thinkwright.report.rollout_data import ROLLOUTS, read_step


@pytest.mark.parametrize("count", [4, 12])
def test_the_first_the_last_and_alarms_are_among_the_steps(count):
    chosen = choose_steps(range(1000), [17, 333, 2000], count)
    assert len(chosen) == count
    assert {0, 999, 17} <= set(chosen)
    assert chosen == sorted(set(chosen))
    assert 2000 not in chosen


def test_many_alarms_leave_room_for_steps_between():
    chosen = choose_steps(range(0, 4000, 2), list(range(0, 200, 2)), 12)
    assert len(chosen) == 12
    assert sum(step >= 200 for step in chosen) >= 6


def test_few_steps_are_all_shown():
    assert choose_steps([3, 4, 9], [], 12) == [3, 4, 9]


def test_the_first_groups_are_of_all_kinds(tmp_path):
    many = [group(f"plain/{i}", [member(RIGHT), member(RIGHT)]) for i in range(60)]
    path = write_step(tmp_path, 0, [*many, *mixed_groups(0)[:5]])
    groups = read_step(ROLLOUTS, 0, path)["groups"]
    ordered = in_turns(groups, frozenset({"plain/59"}), seed=0)
    first = ordered[:8]
    assert sorted(one["id"] for one in ordered) == sorted(one["id"] for one in groups)
    assert any(one.get("right") is False for each in first for one in each["members"])
    assert any("finish" in one for each in first for one in each["members"])
    assert any("outcome" in one for each in first for one in each["members"])
    assert any("spread" in each for each in first)
    assert "plain/59" in [one["id"] for one in first]
    assert ordered == in_turns(groups, frozenset({"plain/59"}), seed=0)


def _large(step, size):
    thought = "思考\n" * (size // 3)
    texts = [RIGHT.format(thought), WRONG.format(thought), "<think>" + "\u202e<" * (size // 2)]
    members = [member(text, float(text.endswith("4</answer>"))) for text in texts]
    return [group(f"{step}/{i}", members) for i in range(12)]


@pytest.mark.parametrize(("budget", "size"), [(BUDGET_BYTES, 3000), (60_000, 3000), (30_000, 20)])
def test_the_budget_is_kept_with_whole_groups_in_every_step(run_folder, budget, size):
    for step in range(20):
        write_step(run_folder, step, [*_large(step, size), *mixed_groups(step)])
    data = page_data(run_folder, budget)
    assert len(embedded_json(data).encode()) <= budget
    for name in ("rollouts", "evaluations"):
        assert all(step["groups"] for step in data[name]["shown"].values())
    for step in data["rollouts"]["shown"].values():
        sizes = {one["id"]: len(one["members"]) for one in step["groups"]}
        whole = {
            one.prompt.prompt_id: len(one.members) for one in [*_large(step["step"], 3), *mixed_groups(step["step"])]
        }
        assert all(whole[name] == count for name, count in sizes.items())
    assert embedded_json(page_data(run_folder, budget)) == embedded_json(data)


def test_evaluations_show_the_same_questions_at_every_step(run_folder):
    data = page_data(run_folder, 60_000)
    shown = data["evaluations"]["shown"].values()
    asked = [[one["id"] for one in step["groups"]] for step in shown]
    assert len(asked) == 4
    assert 8 <= len(asked[0]) < 56
    assert all(one == asked[0] for one in asked)


def test_questions_that_were_asked_again_are_kept(tmp_path):
    for step in range(6):
        write_step(tmp_path, step, [*_large(step, 300), *mixed_groups(step)])
    data = page_data(tmp_path, 100_000)
    kept = [{one["id"] for one in step["groups"]} for step in data["rollouts"]["shown"].values()]
    assert all(any(name.startswith("again/") for name in names) for names in kept)


def test_a_huge_completion_does_not_break_the_budget(tmp_path):
    write_step(tmp_path, 0, [group("a", [member(RIGHT.format("x" * 1_000_000)), member("\x00" * 1_000_000)])])
    data = page_data(tmp_path)
    assert len(data["rollouts"]["shown"]["0"]["groups"]) == 1
    assert len(embedded_json(data).encode()) <= BUDGET_BYTES


def test_a_folder_without_completions_gives_no_data_and_no_section(tmp_path):
    assert page_data(tmp_path) is None
    assert rollouts_section(None) == ""


def test_the_section_tells_how_many_of_how_many(tmp_path):
    for step in range(30):
        write_step(tmp_path, step, mixed_groups(step))
    data = page_data(tmp_path)
    assert "training 12 of 30 steps, with 108 of their 108 questions" in rollouts_section(data)
    assert "This page holds" not in rollouts_section({"live": True})


def test_a_broken_step_is_shown_as_such(tmp_path):
    for step in range(3):
        write_step(tmp_path, step, mixed_groups(step))
    (tmp_path / "rollouts" / "step_000001.jsonl.zst").write_bytes(b"broken")
    shown = json.loads(embedded_json(page_data(tmp_path)))["rollouts"]["shown"]
    assert "could not be read" in shown["1"]["error"]
    assert len(shown["0"]["groups"]) == 9

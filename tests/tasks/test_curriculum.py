"""The curriculum: what it keeps, retires and reviews; that it resumes bit for bit; and tasks with rows left out."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from thinkwright.config.curriculum import Curriculum
from thinkwright.config.tasks import TinyWorldTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.curriculum import CurriculumTask
from thinkwright.tasks.exclusion import WithoutPrompts, row_id, training_rows
from thinkwright.tasks.mixture import MixturePrompts
from thinkwright.tasks.prompts import load_task
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

COUNT = 8


def prompt(name: str) -> Prompt:
    return Prompt(name, f"{name}?", f"{name}?", "number", "1", "1", "r1_zero", "rows", 1, "en")


@dataclass(frozen=True)
class Rows:
    """A finite task, shuffled anew for every pass."""

    training: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...] = (prompt("held_out/row_1"),)

    @property
    def report(self) -> dict[str, Any]:
        return {"training": {"rows": len(self.training)}}

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        chosen = []
        for position in range(step * count, (step + 1) * count):
            epoch, place = divmod(position, len(self.training))
            order = Random(f"{seed}/{epoch}").sample(self.training, len(self.training))
            chosen.append(replace(order[place], prompt_id=f"{order[place].prompt_id}/epoch_{epoch}"))
        return chosen

    def all_prompts(self) -> Sequence[Prompt]:
        return self.training + self.held_out

    def notes(self) -> list[str]:
        return ["rows"]


def rows(count: int = 40) -> Rows:
    return Rows(tuple(prompt(f"training/row_{i}") for i in range(count)))


def group(asked: Prompt, scores: Sequence[float | None]) -> RolloutGroup:
    """``None`` is a rollout whose verifier failed: it has no accuracy."""
    rollout = Rollout((1,), (0.0,), (0.0,), (False,), "x", "stop", 0)
    members = tuple(ScoredRollout(rollout, {} if s is None else {"accuracy": s}, s or 0.0) for s in scores)
    return RolloutGroup(asked, (1,), members)


def play(task: CurriculumTask, steps: range, scores: Callable[[str, int], Sequence[float | None]]) -> list[list[str]]:
    """Ids of the prompts of each step; ``scores`` says how a row's group does."""
    seen = []
    for step in steps:
        asked = task.prompts(3, step, COUNT)
        assert len({p.prompt_id for p in asked}) == len({row_id(p.prompt_id) for p in asked}) == COUNT
        task.observe(step, [group(p, scores(row_id(p.prompt_id), step)) for p in asked])
        seen.append([p.prompt_id for p in asked])
    return seen


def kind(name: str) -> int:
    return int(name.rpartition("_")[2]) % 4 if "row_" in name else 0


def by_kind(name: str, _: int) -> Sequence[float]:
    """A quarter of the rows is always right, one always wrong, the others are right half of the time."""
    return {0: [1.0, 1.0], 1: [0.0, 0.0]}.get(kind(name), [0.0, 1.0])


def test_solved_rows_retire_hard_ones_wait_and_the_band_is_trained_on() -> None:
    task = CurriculumTask(Curriculum(review_share=0.0), rows())
    play(task, range(20), by_kind)
    assert task.metrics() == {
        "curriculum/active": 20, "curriculum/retired": 10, "curriculum/too_hard": 10, "curriculum/reviewed": 0,
    }  # fmt: skip
    later = play(task, range(20, 40), by_kind)
    assert {kind(row_id(name)) for step in later for name in step} == {2, 3}


def test_reviews_take_their_share_and_bring_back_what_changed() -> None:
    task = CurriculumTask(Curriculum(review_share=0.25), rows())
    play(task, range(20), by_kind)
    seen = play(task, range(20, 40), lambda *_: [0.0, 1.0])
    assert [sum(name.endswith("/review") for name in step) for step in seen[:10]] == [2] * 10
    assert task.metrics()["curriculum/active"] == 40


def test_the_longest_unseen_are_reviewed_first() -> None:
    task = CurriculumTask(Curriculum(review_share=0.25), rows())
    play(task, range(20), by_kind)
    seen = play(task, range(20, 30), by_kind)
    reviewed = [name for step in seen for name in step if name.endswith("/review")]
    assert len(set(reviewed)) == 20


def test_a_small_review_share_is_exact_in_the_long_run() -> None:
    task = CurriculumTask(Curriculum(review_share=0.02), rows(100))
    seen = play(task, range(150), by_kind)
    assert sum(name.endswith("/review") for step in seen[50:] for name in step) == 100 * COUNT * 0.02


def test_rollouts_that_were_not_graded_say_nothing_about_a_row() -> None:
    task = CurriculumTask(Curriculum(), rows(COUNT))
    play(task, range(10), lambda *_: [None, None])
    assert task.metrics()["curriculum/active"] == COUNT
    play(task, range(10, 20), lambda *_: [None, 1.0])
    assert task.metrics()["curriculum/retired"] == COUNT


def test_when_everything_is_set_aside_the_step_is_filled_with_the_longest_unseen() -> None:
    task = CurriculumTask(Curriculum(), rows(20))
    seen = play(task, range(40), lambda *_: [1.0, 1.0])
    assert task.metrics()["curriculum/retired"] == 20
    assert {row_id(name) for step in seen[-3:] for name in step} == {p.prompt_id for p in rows(20).training}


@pytest.mark.parametrize("stop", [1, 7, 19, 30])
def test_a_run_taken_up_from_its_state_goes_on_bit_for_bit(stop: int) -> None:
    def scores(name: str, step: int) -> Sequence[float]:
        rng = Random(f"{name}/{step}")
        return [float(rng.random() < kind(name) / 3) for _ in range(7)]

    whole = CurriculumTask(Curriculum(review_share=0.1), rows())
    expected = play(whole, range(40), scores)
    first = CurriculumTask(Curriculum(review_share=0.1), rows())
    play(first, range(stop), scores)
    saved = json.loads(json.dumps(first.state(stop)))
    second = CurriculumTask(Curriculum(review_share=0.1), rows())
    second.load_state(saved)
    assert play(second, range(stop, 40), scores) == expected[stop:]
    assert second.state(40) == whole.state(40)
    assert second.metrics() == whole.metrics()


def test_before_anything_is_known_every_row_comes_once_in_the_tasks_own_order() -> None:
    task = CurriculumTask(Curriculum(), rows())
    seen = play(task, range(5), by_kind)
    assert [name for step in seen for name in step] == [p.prompt_id for p in rows().prompts(3, 0, 40)]


def test_an_endless_task_and_a_step_larger_than_the_task_are_refused_with_the_reason() -> None:
    with pytest.raises(RecipeError, match="made anew for every step"):
        CurriculumTask(Curriculum(), load_task(TinyWorldTask(type="tiny_world")))
    with pytest.raises(RecipeError, match="prompts_per_step = 8 is more than the 5"):
        CurriculumTask(Curriculum(), rows(5)).prompts(0, 0, COUNT)


def test_made_up_questions_of_a_mixture_are_used_as_they_come() -> None:
    made_up = load_task(TinyWorldTask(type="tiny_world", families=("arithmetic",)))
    task = CurriculumTask(Curriculum(), MixturePrompts((rows(), made_up), (1.0, 1.0)))
    seen = play(task, range(60), by_kind)[-20:]
    assert 0.3 < sum(name.startswith("arithmetic/") for step in seen for name in step) / 160 < 0.7
    assert task.metrics()["curriculum/retired"] == 10


def test_a_band_that_is_empty_is_refused() -> None:
    with pytest.raises(ValueError, match="set low below high"):
        Curriculum(low=0.9, high=0.5)


def test_rows_left_out_are_replaced_by_others_and_all_others_stay_where_they_were() -> None:
    task = rows()
    left_out = frozenset({"training/row_0", "training/row_7", "held_out/row_1"})
    fewer = WithoutPrompts(task, left_out)
    for step in range(20):
        before, after = task.prompts(3, step, COUNT), fewer.prompts(3, step, COUNT)
        assert after == fewer.prompts(3, step, COUNT)
        assert len({p.prompt_id for p in after}) == COUNT
        assert not left_out & {row_id(p.prompt_id) for p in after}
        for old, new in zip(before, after, strict=True):
            assert old == new or row_id(old.prompt_id) in left_out
    assert fewer.held_out == task.held_out
    assert [p.prompt_id for p in training_rows(fewer)] == [f"training/row_{i}" for i in range(40) if i not in (0, 7)]
    assert "3 rows left out of training" in fewer.notes()[-1]
    json.dumps(fewer.report)


def test_a_task_with_too_few_rows_left_is_refused() -> None:
    task = rows(COUNT)
    with pytest.raises(DataError, match="doctor"):
        WithoutPrompts(task, frozenset(p.prompt_id for p in task.training)).prompts(0, 0, COUNT)


def test_a_curriculum_on_top_of_a_task_with_rows_left_out_never_meets_them() -> None:
    left_out = frozenset({"training/row_2", "training/row_3"})
    task = CurriculumTask(Curriculum(), WithoutPrompts(rows(), left_out))
    seen = play(task, range(20), by_kind)
    assert not left_out & {row_id(name) for step in seen for name in step}


def test_steps_drawn_in_advance_are_drawn_again_by_a_run_that_goes_on_before_them() -> None:
    first = CurriculumTask(Curriculum(review_share=0.1), rows())
    drawn = [first.prompts(0, step, 5) for step in range(4)]
    second = CurriculumTask(Curriculum(review_share=0.1), rows())
    second.load_state(json.loads(json.dumps(first.state(1))))
    assert [second.prompts(0, step, 5) for step in range(1, 4)] == drawn[1:]

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.tasks.made_sets import NUM_PROBLEMS, write_data_folder
from tests.tasks.test_rows import write_rows
from thinkwright.config.curriculum import Curriculum
from thinkwright.config.tasks import MixtureTask, TinyWorldTask
from thinkwright.errors import DataError
from thinkwright.tasks.curriculum import CurriculumTask
from thinkwright.tasks.exclusion import row_id, training_rows
from thinkwright.tasks.mixture import MixturePrompts
from thinkwright.tasks.prompts import load_task


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data folder."""
    return write_data_folder(tmp_path_factory.mktemp("data"))


def mixture_of(*parts: dict[str, Any]) -> MixturePrompts:
    task = load_task(MixtureTask.model_validate({"type": "mixture", "parts": parts}))
    assert isinstance(task, MixturePrompts)
    return task


def named(name: str, folder: Path, weight: float = 1.0, **settings: Any) -> dict[str, Any]:
    return {"weight": weight, "task": {"type": "named", "name": name, "data": str(folder), **settings}}


def test_prompts_are_drawn_by_weight_and_depend_on_seed_and_step_alone(made_folder: Path) -> None:
    parts = named("gsm8k", made_folder, 3), named("countdown", made_folder, 1)
    task, again = mixture_of(*parts), mixture_of(*parts)
    expected = [task.prompts(0, step, 16) for step in range(50)]
    assert [again.prompts(0, step, 16) for step in reversed(range(50))] == expected[::-1]
    assert mixture_of(*parts).prompts(1, 0, 16) != expected[0]
    counts = Counter(prompt.family for prompts in expected for prompt in prompts)
    assert 0.68 < counts["gsm8k"] / counts.total() < 0.82
    assert all(len({prompt.prompt_id for prompt in prompts}) == 16 for prompts in expected)


def test_every_part_gives_each_of_its_rows_once_a_pass(made_folder: Path) -> None:
    task = mixture_of(named("gsm8k", made_folder, 3), named("countdown", made_folder, 1))
    stream = [prompt for step in range(40) for prompt in task.prompts(2, step, 8)]
    first_pass = [p for p in stream if p.family == "countdown"][:NUM_PROBLEMS]
    assert len({prompt.question for prompt in first_pass}) == NUM_PROBLEMS


def test_a_mixture_may_hold_the_tiny_world(made_folder: Path) -> None:
    task = mixture_of(
        named("gsm8k", made_folder), {"task": {"type": "tiny_world", "families": ["ordering", "arithmetic"]}}
    )
    families = {prompt.family for step in range(4) for prompt in task.prompts(0, step, 8)}
    assert families == {"gsm8k", "ordering", "arithmetic"}
    assert len(task.held_out) == 20 + 64
    assert len(task.all_prompts()) == NUM_PROBLEMS + 20 + 64


def test_a_row_of_two_parts_stays_with_the_first_and_leaks_count_across_parts(
    made_folder: Path, tmp_path: Path
) -> None:
    question = '{"question": "Person 3 has 5 coins and apples. Then 10 more come. How many?", "answer": 1}\n'
    (tmp_path / "train.jsonl").write_text('{"question": "other", "answer": 1}\n')
    (tmp_path / "test.jsonl").write_text(question)
    rows = {"type": "rows", "path": str(tmp_path / "train.jsonl"), "held_out_path": str(tmp_path / "test.jsonl")}
    kept = {**rows, "filters": {"deduplicate": False}}
    task = mixture_of(named("gsm8k", made_folder), {"task": rows}, {"task": kept})
    first = task.report["parts"][0]["training"]
    assert first["left_out_rows"]["contaminated"] == {"gsm8k/train/4": f"against {tmp_path / 'test.jsonl'}"}
    ids = [prompt.prompt_id for prompt in task.all_prompts()]
    assert len(ids) == len(set(ids))
    assert "part_3/training/row_1" in ids


def test_a_part_whose_rows_all_stand_in_an_earlier_one_is_refused(made_folder: Path) -> None:
    with pytest.raises(DataError, match="as in an earlier part of the mixture"):
        mixture_of(named("countdown", made_folder), named("countdown", made_folder, levels=[3, 3]))


def own(folder: Path, name: str, questions: Sequence[str], held_out: Sequence[str], **settings: Any) -> dict[str, Any]:
    """A part of one's own rows."""
    paths = [
        str(write_rows(folder / f"{name}_{part}.jsonl", [{"question": text, "answer": 1} for text in texts]))
        for part, texts in (("train", questions), ("test", held_out))
    ]
    return {"task": {"type": "rows", "path": paths[0], "held_out_path": paths[1], **settings}}


def test_a_held_out_file_used_with_different_columns_guards_all_of_them(tmp_path: Path) -> None:
    both = {"question": "How old is he?", "other": "How old is she?", "answer": 1}
    test = write_rows(tmp_path / "test.jsonl", [both])
    train = write_rows(tmp_path / "train.jsonl", [{"question": q, "answer": 1} for q in ("How old is he?", "He?")])
    more = write_rows(tmp_path / "more.jsonl", [{"other": q, "answer": 1} for q in ("How old is she?", "She?")])
    rows = {"type": "rows", "held_out_path": str(test)}
    task = mixture_of(
        {"task": {**rows, "path": str(train)}},
        {"task": {**rows, "path": str(more), "columns": {"question": "other"}}},
    )
    assert {prompt.question for prompt in training_rows(task)} == {"He?", "She?"}


def test_rows_keep_clear_of_the_tiny_worlds_held_out_questions(tmp_path: Path) -> None:
    tiny: dict[str, Any] = {"task": {"type": "tiny_world", "families": ["arithmetic"]}}
    asked = load_task(TinyWorldTask(type="tiny_world", families=("arithmetic",))).held_out[3].question
    task = mixture_of(own(tmp_path, "a", [asked, "Other?"], ["Held out?"]), tiny)
    assert task.report["parts"][0]["training"]["left_out_rows"] == {
        "contaminated": {"part_1/training/row_1": "against tiny_world"}
    }


def test_parts_may_be_evaluated_on_the_same_set(made_folder: Path) -> None:
    task = mixture_of(
        named("gsm8k", made_folder, held_out=["mbpp"]), named("countdown", made_folder, held_out=["mbpp"])
    )
    assert {prompt.family for prompt in task.held_out} == {"mbpp"}
    assert len(task.held_out) == len({prompt.prompt_id for prompt in task.held_out}) == 20


def test_two_parts_of_reasoning_gym_do_not_share_row_ids() -> None:
    pytest.importorskip("reasoning_gym")
    gym = {"type": "named", "name": "reasoning_gym"}
    task = mixture_of(*({"task": {**gym, "families": [f"reasoning_gym/{name}"]}} for name in ("gcd", "chain_sum")))
    ids = [prompt.prompt_id for prompt in task.all_prompts()]
    assert len(set(ids)) == len(ids) > 2 * 490
    assert "reasoning_gym/training/gcd/1" in ids


def test_a_question_that_an_earlier_part_asks_is_a_duplicate_unless_they_are_kept(tmp_path: Path) -> None:
    first = own(tmp_path, "a", ["How old is he?", "A?"], ["Held out?"])
    task = mixture_of(first, own(tmp_path, "b", ["how old is he", "B?"], ["Held out, too?"]))
    assert task.report["parts"][1]["training"]["left_out_rows"] == {
        "duplicate": {"part_2/training/row_1": "as part_1/training/row_1"}
    }
    kept = own(tmp_path, "b", ["how old is he", "B?"], ["Held out, too?"], filters={"deduplicate": False})
    assert len(training_rows(mixture_of(first, kept))) == 4


def test_two_tiny_worlds_ask_different_questions_and_share_the_held_out_ones() -> None:
    tiny: dict[str, Any] = {"task": {"type": "tiny_world", "families": ["countdown"]}}
    task = mixture_of(tiny, tiny)
    alone = load_task(TinyWorldTask(type="tiny_world", families=("countdown",)))
    first, second = (member.prompts(0, 0, 16) for member in task.members)
    assert first == alone.prompts(0, 0, 16)
    assert {prompt.question for prompt in first} != {prompt.question for prompt in second}
    assert all(prompt.prompt_id.startswith("part_2/countdown/") for prompt in second)
    assert task.held_out == alone.held_out


def test_a_curriculum_on_a_mixture_with_few_facts_gives_every_step_its_prompts(made_folder: Path) -> None:
    facts: dict[str, Any] = {"weight": 90, "task": {"type": "tiny_world", "families": ["facts"]}}
    mixture = mixture_of(
        named("gsm8k", made_folder), named("countdown", made_folder), named("mbpp", made_folder), facts
    )
    assert len(training_rows(mixture)) > 112
    task = CurriculumTask(Curriculum(), mixture)
    for step in range(20):
        assert len({row_id(prompt.prompt_id) for prompt in task.prompts(0, step, 16)}) == 16

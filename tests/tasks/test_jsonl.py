import gzip
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from thinkwright.chat.template import r1_zero_prompt
from thinkwright.config.recipe import JsonlTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.jsonl import JsonlPrompts, language_of, load_jsonl_prompts

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k"
HELD_OUT = [{"question": "How many eggs are in two dozen?", "answer": "24"}]
TEN_WORDS = "a farmer sells nine red apples to three old friends"


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(count)]


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def load(folder: Path, rows: Sequence[Any], held_out: Sequence[Any] = HELD_OUT, **settings: Any) -> JsonlPrompts:
    path, held_out_path = write_rows(folder / "train.jsonl", rows), write_rows(folder / "test.jsonl", held_out)
    return load_jsonl_prompts(JsonlTask(type="jsonl", path=str(path), held_out_path=str(held_out_path), **settings))


def refusal(folder: Path, content: bytes, name: str = "train.jsonl", **settings: Any) -> str:
    (folder / name).write_bytes(content)
    held_out = write_rows(folder / "test.jsonl", HELD_OUT)
    with pytest.raises(DataError) as caught:
        load_jsonl_prompts(JsonlTask(type="jsonl", path=str(folder / name), held_out_path=str(held_out), **settings))
    return str(caught.value)


def test_a_row_becomes_a_prompt_in_the_template(tmp_path: Path) -> None:
    task = load(tmp_path, [{"question": " What is 1+2? ", "answer": 3}])
    (prompt,) = task.prompts(seed=0, step=0, count=1)
    assert prompt.prompt_id == "training/row_1/epoch_0"
    assert (prompt.question, prompt.text) == ("What is 1+2?", r1_zero_prompt("What is 1+2?"))
    assert (prompt.verifier, prompt.gold, prompt.family, prompt.level, prompt.language) == (
        "number",
        "3",
        "train",
        1,
        "en",
    )
    assert task.held_out[0].family == "test"


def test_a_compressed_file_gives_the_same_prompts_as_a_plain_one(tmp_path: Path) -> None:
    plain = load(tmp_path, rows_of(5))
    packed = tmp_path / "train.jsonl.gz"
    packed.write_bytes(gzip.compress((tmp_path / "train.jsonl").read_bytes()))
    found = load_jsonl_prompts(JsonlTask(type="jsonl", path=str(packed), held_out_path=str(tmp_path / "test.jsonl")))
    assert found.training == plain.training


def test_blank_lines_and_a_byte_order_mark_are_passed_over_and_rows_keep_their_line_numbers(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"question": "a", "answer": 1}\r\n\r\n  \n{"question": "b", "answer": 2}'
    (tmp_path / "train.jsonl").write_bytes(content)
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    task = load_jsonl_prompts(JsonlTask(type="jsonl", path=str(tmp_path / "train.jsonl"), held_out_path=str(held_out)))
    assert [prompt.prompt_id for prompt in task.training] == ["training/row_1", "training/row_4"]


def test_every_pass_gives_each_row_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    task = load(tmp_path, rows_of(7))
    stream = [prompt for step in range(7) for prompt in task.prompts(seed=1, step=step, count=3)]
    passes = [[prompt.question for prompt in stream[i : i + 7]] for i in (0, 7, 14)]
    assert all(sorted(found) == sorted(passes[0]) for found in passes)
    assert len(set(passes[0])) == 7
    assert passes[0] != passes[1] != passes[2]


def test_prompts_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    task, again = load(tmp_path, rows_of(20)), load(tmp_path, rows_of(20))
    expected = [task.prompts(3, step, 4) for step in range(12)]
    assert [again.prompts(3, step, 4) for step in reversed(range(12))] == expected[::-1]
    assert task.prompts(4, 0, 4) != expected[0]


def test_ids_differ_within_a_step_even_when_a_row_comes_twice(tmp_path: Path) -> None:
    task = load(tmp_path, rows_of(3))
    prompts = task.prompts(seed=0, step=1, count=8)
    assert len({prompt.prompt_id for prompt in prompts}) == 8
    assert max(Counter(prompt.question for prompt in prompts).values()) == 3


def test_training_rows_that_give_a_held_out_question_away_are_dropped_and_counted(tmp_path: Path) -> None:
    held_out = [
        {"question": f"Today {TEN_WORDS}, how many are left?", "answer": "1"},
        {"question": "1 + 1?", "answer": "2"},
    ]
    rows = [
        {"question": "1+1 ?", "answer": "2"},
        {"question": f"Once {TEN_WORDS} and goes home.", "answer": "3"},
        {"question": f"{TEN_WORDS.removeprefix('a ')} today", "answer": "4"},
        {"question": "Is 1 + 1 more than 1?", "answer": "5"},
    ]
    task = load(tmp_path, rows, held_out)
    assert [prompt.gold for prompt in task.training] == ["4", "5"]
    assert task.report["training"]["rows"] == 4
    assert task.report["training"]["used"] == 2
    assert task.report["training"]["contaminated"] == 2
    assert task.report["training"]["contaminated_rows"] == [1, 2]
    assert "4 rows, 2 used; 2 left out, share a 10-gram with a held-out question (rows 1, 2)" in task.notes()[0]


def test_rows_that_could_never_be_rewarded_are_left_out_counted_and_listed(tmp_path: Path) -> None:
    rows = [
        {"question": "a", "answer": "so #### 1,000 "},
        {"question": "b", "answer": "no mark: 7"},
        {"question": "c", "answer": "so #### seven"},
        {"question": "d", "answer": "so ####"},
    ]
    task = load(tmp_path, rows, [{"question": "h", "answer": "#### 1"}], answer_pattern=r"####\s*(.+)")
    assert [prompt.gold for prompt in task.training] == ["1,000"]
    counts = task.report["training"]
    assert (counts["rows"], counts["used"]) == (4, 1)
    assert (counts["answer_not_matched"], counts["answer_not_matched_rows"]) == (2, [2, 4])
    assert (counts["gold_not_parseable"], counts["gold_not_parseable_rows"]) == (1, [3])
    assert "1 left out, gold answer the verifier cannot read (rows 3)" in task.notes()[0]


def test_the_held_out_file_is_read_from_its_start_up_to_the_limit(tmp_path: Path) -> None:
    held_out = [{"question": f"h{i}", "answer": str(i)} for i in range(5)]
    task = load(tmp_path, rows_of(2), held_out, max_held_out=3)
    assert [prompt.prompt_id for prompt in task.held_out] == ["held_out/row_1", "held_out/row_2", "held_out/row_3"]
    assert task.all_prompts() == task.training + task.held_out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"question": "a", "answer": 1', "not valid JSON"),
        (b"[1, 2]", "a JSON list; write one JSON object a line"),
        (b'{"question": "a", "reply": "1"}', "no field 'answer', only 'question', 'reply'; set task.answer_field"),
        (b'{"prompt": "a", "answer": "1"}', "no field 'question', only 'prompt', 'answer'; set task.question_field"),
        (b'{"question": "a", "answer": ["1"]}', "field 'answer' is '[\"1\"]'; it must be text or a number"),
        (b'{"question": true, "answer": 1}', "field 'question' is 'true'; it must be text or a number"),
        (b'{"question": " ", "answer": 1}', "field 'question' is empty"),
        (b'{"question": "\\ud800", "answer": 1}', "field 'question' holds half a character"),
        (b'{"question": "caf\xe9", "answer": 1}', "byte 17 of the line is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_broken_row_is_named_with_file_and_line(tmp_path: Path, line: bytes, words: str) -> None:
    text = refusal(tmp_path, b'{"question": "fine", "answer": 1}\n' + line + b"\n")
    assert text.startswith(f"{tmp_path / 'train.jsonl'}:2: ")
    assert words in text


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\n \n"):
        assert "train.jsonl: no rows; give a file with one JSON object a line as task.path" in refusal(
            tmp_path, content
        )


def test_a_file_of_which_no_row_is_left_says_why(tmp_path: Path) -> None:
    text = refusal(tmp_path, b'{"question": "a", "answer": "blue"}\n')
    assert "none of the 1 rows can be used; row 1: gold answer 'blue' is not one number" in text
    text = refusal(tmp_path, b'{"question": "a", "answer": "7"}\n', answer_pattern="(2.+)")
    assert "train.jsonl: none of the 1 rows can be used; row 1: task.answer_pattern finds nothing in '7'" in text
    text = refusal(tmp_path, json.dumps(HELD_OUT[0]).encode())
    assert "all 1 usable rows share a 10-gram with" in text


def test_a_missing_file_names_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    missing = tmp_path / "dta" / "gsm8k" / "train.jsonl"
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    with pytest.raises(DataError) as caught:
        load_jsonl_prompts(JsonlTask(type="jsonl", path=str(missing), held_out_path=str(held_out)))
    assert str(caught.value) == (
        f"{missing}: no such file; the nearest folder that exists is {tmp_path.resolve()}; correct task.path"
    )
    with pytest.raises(DataError, match=r"none\.jsonl: no such file; .* correct task\.held_out_path"):
        load_jsonl_prompts(JsonlTask(type="jsonl", path=str(held_out), held_out_path=str(tmp_path / "none.jsonl")))


def test_a_folder_and_a_broken_archive_are_refused(tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\); give a readable file as task\.path"):
        load_jsonl_prompts(JsonlTask(type="jsonl", path=str(tmp_path), held_out_path=str(held_out)))
    whole = gzip.compress(b'{"question": "a", "answer": 1}\n' * 500)
    for content in (b'{"question": "a", "answer": 1}\n', whole[:-20], whole[:20] + b"\xff" * 20 + whole[40:]):
        assert "not a whole gzip file" in refusal(tmp_path, content, name="train.jsonl.gz")


@pytest.mark.parametrize(("pattern", "words"), [("(.+", "is not a regular expression"), ("#### .+", "has no group")])
def test_a_pattern_that_cannot_find_an_answer_is_a_fault_of_the_recipe(
    tmp_path: Path, pattern: str, words: str
) -> None:
    with pytest.raises(RecipeError, match=f"task.answer_pattern: .*{words}"):
        load(tmp_path, rows_of(2), answer_pattern=pattern)


@pytest.mark.parametrize(
    ("question", "language"),
    [("What is 3+4?", "en"), ("3+4等于几？", "zh"), ("Translate 你好 into English please", "en"), ("12+5", "en")],
)
def test_the_language_is_that_of_most_words(question: str, language: str) -> None:
    assert language_of(question) == language


def gsm8k_files(folder: Path) -> tuple[Path, Path, int]:
    """The real files where they lie beside the repository, else two of the same form; and the training rows."""
    if GSM8K.is_dir():
        return GSM8K / "train.jsonl.gz", GSM8K / "test_first819.jsonl", 7473
    rows = [
        {"question": f"Ann has {i} pens and buys {i + 1} more. How many now?", "answer": f"<<{i}+1=9>>\n#### {i:,}"}
        for i in range(2000)
    ]
    packed = folder / "train.jsonl.gz"
    packed.write_bytes(gzip.compress(write_rows(folder / "train.jsonl", rows[400:]).read_bytes()))
    return packed, write_rows(folder / "test.jsonl", rows[:400]), 1600


def test_gsm8k_loads_whole_with_every_gold_a_number(tmp_path: Path) -> None:
    path, held_out_path, num_rows = gsm8k_files(tmp_path)
    task = load_jsonl_prompts(
        JsonlTask(type="jsonl", path=str(path), held_out_path=str(held_out_path), answer_pattern=r"####\s*(.+)")
    )
    counts = task.report["training"]
    assert counts["rows"] == num_rows
    assert counts["answer_not_matched"] == counts["gold_not_parseable"] == 0
    assert counts["used"] == len(task.training) == num_rows - counts["contaminated"]
    assert counts["contaminated"] < num_rows // 100
    assert len(task.held_out) == 256
    assert all(prompt.language == "en" for prompt in task.all_prompts())

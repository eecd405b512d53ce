import gzip
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from thinkwright.chat.template import r1_zero_prompt
from thinkwright.config.tasks import RowsTask
from thinkwright.errors import DataError, RecipeError
from thinkwright.tasks.loaded import finish
from thinkwright.tasks.row_prompts import RowPrompts
from thinkwright.tasks.rows import load_rows

HELD_OUT = [{"question": "How many eggs are in two dozen?", "answer": "24"}]
TEN_WORDS = "a farmer sells nine red apples to three old friends"


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"question": f"What is {i} plus {i}?", "answer": str(2 * i)} for i in range(count)]


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def load_paths(path: object, held_out_path: object, **settings: Any) -> RowPrompts:
    task = RowsTask.model_validate({"type": "rows", "path": str(path), "held_out_path": str(held_out_path), **settings})
    return finish([load_rows(task)], "r1_zero")[0]


def load(folder: Path, rows: Sequence[Any], held_out: Sequence[Any] = HELD_OUT, **settings: Any) -> RowPrompts:
    path, held_out_path = write_rows(folder / "train.jsonl", rows), write_rows(folder / "test.jsonl", held_out)
    return load_paths(path, held_out_path, **settings)


def refusal(folder: Path, content: bytes, name: str = "train.jsonl", **settings: Any) -> str:
    (folder / name).write_bytes(content)
    held_out = write_rows(folder / "test.jsonl", HELD_OUT)
    with pytest.raises(DataError) as caught:
        load_paths(folder / name, held_out, **settings)
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
    found = load_paths(packed, tmp_path / "test.jsonl")
    assert found.training == plain.training


def test_blank_lines_and_a_byte_order_mark_are_passed_over_and_rows_keep_their_line_numbers(tmp_path: Path) -> None:
    content = b'\xef\xbb\xbf{"question": "a", "answer": 1}\r\n\r\n  \n{"question": "b", "answer": 2}'
    (tmp_path / "train.jsonl").write_bytes(content)
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    task = load_paths(tmp_path / "train.jsonl", held_out)
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
    counts = task.report["training"]
    assert (counts["rows"], counts["used"], counts["left_out"]) == (4, 2, {"contaminated": 2})
    assert list(counts["left_out_rows"]["contaminated"]) == ["training/row_1", "training/row_2"]
    expected = "4 rows, 2 used; 2 left out, give away a held-out question (training/row_1, training/row_2)"
    assert task.notes()[0] == f"train, training: {expected}"


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
    assert counts["left_out"] == {"unusable": 2, "gold_not_readable": 1}
    assert list(counts["left_out_rows"]["unusable"]) == ["training/row_2", "training/row_4"]
    assert list(counts["left_out_rows"]["gold_not_readable"]) == ["training/row_3"]
    assert "1 left out, gold answer the verifier cannot read (training/row_3)" in task.notes()[0]


def test_of_many_held_out_rows_a_fixed_sample_is_used_and_training_keeps_clear_of_all(tmp_path: Path) -> None:
    held_out = [{"question": f"h{i}", "answer": str(i)} for i in range(50)]
    rows = [{"question": "h7", "answer": 7}, {"question": "h8", "answer": 8}, {"question": "new", "answer": 9}]
    task, again = (load(tmp_path, rows, held_out, max_held_out=3) for _ in range(2))
    assert len(task.held_out) == 3
    assert task.held_out == again.held_out
    assert [prompt.question for prompt in task.training] == ["new"]
    assert (task.report["held_out"]["rows"], task.report["held_out"]["used"]) == (50, 3)
    assert task.all_prompts() == task.training + task.held_out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"question": "a", "answer": 1', "not valid JSON"),
        (b"[1, 2]", "a JSON list; write one JSON object a line"),
        (b'{"question": "a", "reply": "1"}', "no column 'answer', only 'question', 'reply'; set task.columns.answer"),
        (b'{"prompt": "a", "answer": "1"}', "no column 'question', only 'prompt', 'answer'; set task.columns.question"),
        (b'{"question": "a", "answer": ["1"]}', "column 'answer' is '[\"1\"]'; it must be text or a number"),
        (b'{"question": true, "answer": 1}', "column 'question' is 'true'; it must be text or a number"),
        (b'{"question": " ", "answer": 1}', "column 'question' is empty"),
        (b'{"question": "\\ud800", "answer": 1}', "column 'question' holds half a character"),
        (b'{"question": "caf\xe9", "answer": 1}', "byte 17 of the line is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_broken_row_is_named_with_file_and_line(tmp_path: Path, line: bytes, words: str) -> None:
    text = refusal(tmp_path, b'{"question": "fine", "answer": 1}\n' + line + b"\n")
    assert text.startswith(f"{tmp_path / 'train.jsonl'}:2: ")
    assert words in text


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\n \n"):
        assert "train.jsonl: no rows; set task.columns" in refusal(tmp_path, content)


def test_a_file_of_which_no_row_is_left_says_why(tmp_path: Path) -> None:
    text = refusal(tmp_path, b'{"question": "a", "answer": "blue"}\n')
    assert "none of the 1 rows can be used; training/row_1: gold answer 'blue' is not one number" in text
    text = refusal(tmp_path, b'{"question": "a", "answer": "7"}\n', answer_pattern="(2.+)")
    assert (
        "train.jsonl: none of the 1 rows can be used; training/row_1: task.answer_pattern finds nothing in '7'" in text
    )
    text = refusal(tmp_path, json.dumps(HELD_OUT[0]).encode())
    assert "train.jsonl: no training row is left (" in text
    assert "1 left out, give away a held-out question (training/row_1)" in text


def test_a_missing_file_names_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    missing = tmp_path / "dta" / "gsm8k" / "train.jsonl"
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    with pytest.raises(DataError) as caught:
        load_paths(missing, held_out)
    assert str(caught.value) == (
        f"{missing}: no such file; the nearest folder that exists is {tmp_path.resolve()}; correct task.path"
    )
    with pytest.raises(DataError, match=r"none\.jsonl: no such file; .* correct task\.held_out_path"):
        load_paths(held_out, tmp_path / "none.jsonl")


def test_a_folder_and_a_broken_archive_are_refused(tmp_path: Path) -> None:
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    with pytest.raises(DataError, match=r"cannot be read \(Is a directory\); give a readable file as task\.path"):
        load_paths(tmp_path, held_out)
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
    [
        ("What is 3+4?", "en"),
        ("3+4等于几？", "zh"),
        ("12+5", "en"),
        ("Combien de pommes reste-t-il dans le panier de Marie ?", "fr"),
        ("Сколько яблок осталось в корзине у Маши?", "ru"),
    ],
)
def test_without_a_column_the_language_is_that_of_the_question(tmp_path: Path, question: str, language: str) -> None:
    (prompt,) = load(tmp_path, [{"question": question, "answer": "7"}]).prompts(seed=0, step=0, count=1)
    assert prompt.language == language


def test_columns_may_have_any_names_and_give_level_language_family_and_reference(tmp_path: Path) -> None:
    rows = [
        {"q": "Wie viel ist 1+2?", "a": {"numbers": [1, 2], "target": 3}, "r": "1+2", "l": 2.0, "s": "de", "f": "x"}
    ]
    held_out = [{**rows[0], "q": "other"}]
    columns = {"question": "q", "answer": "a", "reference": "r", "level": "l", "language": "s", "family": "f"}
    (prompt,) = load(tmp_path, rows, held_out, columns=columns, verifier="countdown").training
    assert json.loads(prompt.gold) == {"numbers": [1, 2], "target": 3}
    assert (prompt.reference, prompt.level, prompt.language, prompt.family) == ("1+2", 2, "de", "x")
    with pytest.raises(DataError, match=r"column 'f' is .*x.*; a level is a whole number"):
        load(tmp_path, rows, held_out, columns={**columns, "level": "f"}, verifier="countdown")
    with pytest.raises(DataError, match=r"no column 'k', .*set task\.columns\.family"):
        load(tmp_path, rows, held_out, columns={**columns, "family": "k"}, verifier="countdown")


@pytest.mark.parametrize("level", [float("nan"), float("inf"), 1.5, True])
def test_a_level_that_is_no_whole_number_is_named_with_its_place(tmp_path: Path, level: float) -> None:
    held_out = [{**HELD_OUT[0], "l": 1}]
    with pytest.raises(DataError, match=r"train\.jsonl:1: column 'l' is .*; a level is a whole number"):
        load(tmp_path, [{"question": "a", "answer": 1, "l": level}], held_out, columns={"level": "l"})


def test_a_language_that_cannot_be_told_is_named_with_its_place(tmp_path: Path) -> None:
    held_out = [{**HELD_OUT[0], "lang": "en"}]
    with pytest.raises(DataError, match=r"train\.jsonl:1: column 'lang': .*'tlh'.*or remove task\.columns\.language"):
        load(tmp_path, [{"question": "a", "answer": 1, "lang": "tlh"}], held_out, columns={"language": "lang"})


def test_made_questions_are_compared_whole(tmp_path: Path) -> None:
    template = "Use each of the numbers in the list exactly once to make {}."
    rows = [{"question": template.format(i), "answer": i} for i in range(9)]
    with pytest.raises(DataError, match=r"9 left out, .*; if .* set task\.questions_are_made = true"):
        load(tmp_path, rows, [{"question": template.format(0), "answer": 0}])
    task = load(tmp_path, rows, [{"question": template.format(0), "answer": 0}], questions_are_made=True)
    assert len(task.training) == 8


@pytest.mark.parametrize("path", ["~nosuchuser/x.jsonl", "a\0b.jsonl", "x" * 300 + ".parquet", "x" * 300 + ".jsonl"])
def test_a_path_that_can_be_no_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"task\.path"):
        load_paths(path, write_rows(tmp_path / "test.jsonl", HELD_OUT))


def test_parquet_text_that_is_not_utf_8_is_named_with_its_place(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    texts = pyarrow.array([b"fine", b"caf\xe9"], pyarrow.binary()).view(pyarrow.string())
    parquet.write_table(pyarrow.table({"question": texts, "answer": [1, 2]}), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"train\.parquet: a text after row 0 is not UTF-8"):
        load_paths(tmp_path / "train.parquet", write_rows(tmp_path / "test.jsonl", HELD_OUT))


def test_the_hub_is_asked_for_configuration_and_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*name: str, split: str) -> list[dict[str, Any]]:
        asked.append((*name, split))
        return rows_of(3)

    monkeypatch.setattr(pytest.importorskip("datasets"), "load_dataset", load_dataset)
    held_out = write_rows(tmp_path / "test.jsonl", HELD_OUT)
    load_paths("hub:o/n:train[:100]", held_out)
    load_paths("hub:o/n:main:train[5%:10%]+test[:7]", held_out)
    assert asked == [("o/n", "train[:100]"), ("o/n", "main", "train[5%:10%]+test[:7]")]


def test_a_gold_that_is_no_answer_is_no_reference_either(tmp_path: Path) -> None:
    rows = [{"question": "a", "answer": {"numbers": [1, 2], "target": 3}}]
    task = load(tmp_path, rows, [{**rows[0], "question": "b"}], verifier="countdown")
    assert task.training[0].reference == ""
    assert load(tmp_path, rows_of(1)).training[0].reference == "0"


def test_parquet_and_hub_rows_are_those_of_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(pytest.importorskip("datasets").config, "HF_DATASETS_CACHE", tmp_path / "cache")
    plain = load(tmp_path, rows_of(5))
    for name, rows in (("train", rows_of(5)), ("test", HELD_OUT)):
        (tmp_path / "set").mkdir(exist_ok=True)
        parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "set" / f"{name}.parquet")
    found = load_paths(tmp_path / "set" / "train.parquet", tmp_path / "set" / "test.parquet")
    assert found.training == plain.training
    assert found.held_out == plain.held_out
    folder = tmp_path / "set"
    hub = load_paths(f"hub:{folder}:train", f"hub:{folder}:test")
    assert [replace(p, family="train") for p in hub.training] == list(plain.training)
    with pytest.raises(DataError, match=r"cannot be read from the Hub .*give a local copy as task\.path"):
        load_paths(f"hub:{folder}:validation", f"hub:{folder}:test")
    with pytest.raises(DataError, match=r"hub:nothing: not a Hub address; write hub:owner/name:split"):
        load_paths("hub:nothing", f"hub:{folder}:test")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad\.parquet: not a whole Parquet file"):
        load_paths(tmp_path / "bad.parquet", tmp_path / "test.jsonl")
    with pytest.raises(DataError, match=r"no\.parquet: no such file"):
        load_paths(tmp_path / "no.parquet", tmp_path / "test.jsonl")


def test_a_row_whose_question_holds_what_pays_is_not_trained_on(tmp_path: Path) -> None:
    rows = [
        {"question": "Compute $(5-3i)(-4+3i)$ with $i^2 = -1$.", "answer": "-11+27i"},
        {"question": "Show that $x+1$ is what it is; what is $x+1$?", "answer": "x+1"},
        {"question": "He has $5$ apples and eats \\(2 + 1\\). How many did he have?", "answer": "5"},
        {"question": "Simplify \\[36-9x^2\\] by factoring.", "answer": "9(2-x)(2+x)"},
    ]
    task = load(tmp_path, rows, verifier="math")
    assert list(task.report["training"]["left_out_rows"]["given_away"]) == ["training/row_1", "training/row_4"]
    assert task.report["training"]["used"] == 2

"""What is read of rows with thoughts and answers, what is refused, and what is left out."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.training.sft_files import make_rows, write_rows
from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import DataError
from thinkwright.models.policy import Policy, load_policy
from thinkwright.training.sft_data import SFTData, load_sft_data, question_share

GOOD = {"question": "What is 1 + 1?", "thought": "1 + 1 = 2", "answer": "2"}


@pytest.fixture(scope="module")
def tiny(model_folder: Callable[[str], Path]) -> Policy:
    return load_policy(str(model_folder("qwen2")), device=torch.device("cpu"), dtype=torch.float32)


def load(path: Path | list[Path], policy: Policy, template: str = "think_summary", **options: object) -> SFTData:
    paths = path if isinstance(path, list) else [path]
    given: dict[str, object] = {"max_tokens": 1000, **options}
    return load_sft_data([str(p) for p in paths], TEMPLATES[template], policy, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_row_is_the_templates_own_prompt_and_completion_and_the_end(
    template: str, tmp_path: Path, tiny: Policy
) -> None:
    data = load(write_rows(tmp_path / "rows.jsonl", [GOOD]), tiny, template)
    row, decode = data.training[0], tiny.tokenizer.decode
    assert decode(list(row.prompt_ids)) == TEMPLATES[template].prompt(GOOD["question"])
    assert decode(list(row.completion_ids[:-1])) == TEMPLATES[template].write(GOOD["thought"], GOOD["answer"])
    assert row.completion_ids[-1] == tiny.tokenizer.eos_token_id


def test_several_files_plain_and_gzip_follow_each_other(tmp_path: Path, tiny: Policy) -> None:
    first, second = write_rows(tmp_path / "a.jsonl", make_rows(3)), tmp_path / "b.jsonl.gz"
    second.write_bytes(gzip.compress((json.dumps(GOOD) + "\n").encode()))
    data = load([first, second], tiny)
    assert data.report["rows"] == data.report["used"] == 4
    assert data.training[3] == load(write_rows(tmp_path / "c.jsonl", [GOOD]), tiny).training[0]
    assert data.digest() != load([first], tiny).digest()


def test_an_answer_without_a_thought_is_written_bare_and_only_where_the_template_can(
    tmp_path: Path, tiny: Policy
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [GOOD | {"thought": None}])
    completion = tiny.tokenizer.decode(list(load(path, tiny).training[0].completion_ids[:-1]))
    assert completion == " 2"
    for template in ("r1_zero", "r1_zero_prefilled", "boxed"):
        with pytest.raises(DataError, match=rf"rows.jsonl:1: no thought, and the template {template} has no form"):
            load(path, tiny, template)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": ""}, "question is empty; write one"),
        ({"answer": " \n"}, "answer is empty"),
        ({"thought": " "}, "thought is empty; write null"),
        ({"answer": 3}, "answer is a number; write it as text"),
        ({"answer": None}, "answer is null"),
        ({"question": ["a"]}, "question is a list"),
        ({"thought": True}, "thought is true or false"),
        ({"language": 3}, "language is a number"),
        ({"source": "web"}, "source is text; write an object"),
        ({"answer": "\ud800"}, "answer holds half a character"),
    ],
)
def test_a_bad_row_is_told_with_its_place_and_a_remedy(
    change: dict[str, object], words: str, tmp_path: Path, tiny: Policy
) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [GOOD, GOOD | change])
    with pytest.raises(DataError) as caught:
        load(path, tiny)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"question": "a", "thought": "b"}\n', "rows.jsonl:1: no answer; write question, thought (or null) and"),
        ("{\n", "rows.jsonl:1: not valid JSON"),
        ("[1]\n", "rows.jsonl:1: a JSON list"),
        ("\n\n", "rows.jsonl: holds no row"),
    ],
)
def test_a_broken_file_is_told(text: str, words: str, tmp_path: Path, tiny: Policy) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    with pytest.raises(DataError) as caught:
        load(tmp_path / "rows.jsonl", tiny)
    assert words in str(caught.value)


def test_rows_not_to_be_learned_from_are_left_out_counted_and_listed(tmp_path: Path, tiny: Policy) -> None:
    end = tiny.tokenizer.eos_token
    rows = [
        GOOD,
        GOOD | {"thought": "so " * 400},
        GOOD | {"thought": "a </think> b"},
        GOOD | {"thought": None, "answer": "<think>"},
        GOOD | {"answer": f"2 {end}"},
        GOOD | {"question": "what is  5 + 5?"},
    ]
    path = write_rows(tmp_path / "rows.jsonl", rows)
    data = load(path, tiny, max_tokens=400, evaluated=["What is 5 + 5?"])
    assert data.report["left_out"] == {"contaminated": 1, "not_well_formed": 2, "holds_end": 1, "too_long": 1}
    listed = {kind: list(places) for kind, places in data.report["left_out_rows"].items()}
    assert listed == {
        "contaminated": [f"{path}:6"],
        "not_well_formed": [f"{path}:3", f"{path}:4"],
        "holds_end": [f"{path}:5"],
        "too_long": [f"{path}:2"],
    }
    assert (data.report["rows"], data.report["used"]) == (6, 1)
    assert any("over max_tokens" in line and f"{path}:2" in line for line in data.notes())


def test_max_tokens_is_met_exactly(tmp_path: Path, tiny: Policy) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [GOOD])
    row = load(path, tiny).training[0]
    size = len(row.prompt_ids) + len(row.completion_ids)
    assert len(load(path, tiny, max_tokens=size).training) == 1
    with pytest.raises(DataError, match=r"no row is left to learn from .1 over max_tokens; 0 held out"):
        load(path, tiny, max_tokens=size - 1)


def test_equal_questions_stay_on_one_side(tmp_path: Path, tiny: Policy) -> None:
    rows = make_rows(60)
    again = [row | {"question": row["question"].upper(), "answer": "other"} for row in rows]
    data = load(write_rows(tmp_path / "rows.jsonl", rows + again), tiny, held_out_share=0.3)
    num_held_out = sum(question_share(row["question"]) < 0.3 for row in rows)
    assert 8 < num_held_out < 30
    assert len(data.held_out) == 2 * num_held_out
    assert len(data.training) == 2 * (60 - num_held_out)

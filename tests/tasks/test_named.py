import gzip
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.tasks.made_sets import NUM_PROBLEMS, write_data_folder
from thinkwright.config.tasks import NamedTask, SetName, TaskSettings, VerifierName
from thinkwright.errors import DataError, RecipeError
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.decontamination import identity
from thinkwright.tasks.example import question_digest
from thinkwright.tasks.named import DATA_VARIABLE, read_set
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.row_prompts import RowPrompts
from thinkwright.tasks.sets import SETS


@pytest.fixture(scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data folder."""
    return write_data_folder(tmp_path_factory.mktemp("data"))


def task_of(name: str, folder: Path, template: str = "r1_zero", **settings: Any) -> RowPrompts:
    task: TaskSettings = NamedTask.model_validate({"type": "named", "name": name, "data": str(folder), **settings})
    found = load_task(task, template)
    assert isinstance(found, RowPrompts)
    return found


def test_recipes_know_the_same_sets_and_verifiers_as_the_package() -> None:
    assert set(get_args(SetName)) == SETS.keys()
    assert set(get_args(VerifierName)) == VERIFIERS.keys()


def test_a_gsm8k_row_becomes_a_prompt(made_folder: Path) -> None:
    task = task_of("gsm8k", made_folder, template="boxed")
    prompt = task.training[9]
    assert prompt.prompt_id == "gsm8k/train/10"
    assert prompt.question == "Person 9 has 11 keys and apples. Then 28 more come. How many?"
    assert prompt.question in prompt.text
    assert "boxed" in prompt.text
    assert (prompt.verifier, prompt.gold, prompt.reference, prompt.template) == ("math", "39", "39", "boxed")
    assert (prompt.family, prompt.level, prompt.language) == ("gsm8k", 1, "en")
    assert len(task.training) == NUM_PROBLEMS
    assert {prompt.prompt_id for prompt in task.held_out}.isdisjoint(prompt.prompt_id for prompt in task.training)


def test_an_mbpp_question_shows_one_assert_and_hides_the_others(made_folder: Path) -> None:
    task = task_of("mbpp", made_folder)
    prompt = next(prompt for prompt in task.training if prompt.prompt_id == "mbpp/601")
    assert "Name the function `add_601`" in prompt.question
    assert "assert add_601(0) == 601" in prompt.question
    assert "add_601(5)" not in prompt.question
    gold = json.loads(prompt.gold)
    assert (gold["kind"], gold["entry_point"], len(gold["tests"])) == ("asserts", "add_601", 3)
    assert prompt.reference == "```python\ndef add_601(x):\n  return x + 601\n```"
    assert {int(p.prompt_id.partition("/")[2]) // 100 for p in task.training} == {5, 6}
    assert all(int(p.prompt_id.partition("/")[2]) < 100 for p in task.held_out)


def test_levels_languages_and_families_choose_rows(made_folder: Path) -> None:
    assert {p.level for p in task_of("countdown", made_folder, levels=[3, 3]).all_prompts()} == {3}
    assert {p.level for p in task_of("knights_and_knaves", made_folder, levels=[4, 5]).all_prompts()} == {4, 5}
    with pytest.raises(RecipeError, match=r"task\.levels = \[7, 9\]: .*\(numbers given\); there are 3, 4"):
        task_of("countdown", made_folder, levels=[7, 9])
    with pytest.raises(RecipeError, match=r"task\.languages: no row of gsm8k has 'sw'; there are en"):
        task_of("gsm8k", made_folder, languages=["sw"])
    with pytest.raises(RecipeError, match=r"task\.families: no row of gsm8k has 'gsm9k'; did you mean gsm8k\? there"):
        task_of("gsm8k", made_folder, families=["gsm8k", "gsm9k"])


def test_languages_and_families_choose_rows_of_every_set_that_has_them(made_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(made_folder, tmp_path / "data")
    rows = [{"lang": lang, "question": f"{lang} {i}?", "answer": i} for lang in ("de", "sw") for i in range(3)]
    (tmp_path / "data" / "mgsm").mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data" / "mgsm" / "mgsm_11_languages.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    task = task_of("gsm8k", tmp_path / "data", languages=["de"], held_out=["mgsm", "gsm8k"])
    assert Counter(prompt.family for prompt in task.held_out) == {"mgsm/de": 3, "gsm8k": 20}
    assert len(task.training) == NUM_PROBLEMS
    task = task_of("gsm8k", tmp_path / "data", languages=["de", "en"], families=["mgsm/de"], held_out=["mgsm"])
    assert {prompt.language for prompt in task.held_out} == {"de"}
    assert len(task.training) == NUM_PROBLEMS


def test_near_duplicates_of_made_questions_cannot_be_asked_for(made_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"near_duplicate_share has no effect here: .*remove it"):
        task_of("countdown", made_folder, filters={"near_duplicate_share": 0.5})


def test_countdown_is_read_from_a_slice_of_the_hubs_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*name: str, split: str) -> list[dict[str, Any]]:
        asked.append((*name, split))
        return [{"nums": [i, i + 1, 2], "target": 2 * i + 3} for i in range(1, 60)]

    monkeypatch.setattr(pytest.importorskip("datasets"), "load_dataset", load_dataset)
    task = load_task(NamedTask(type="named", name="countdown", data="hub"))
    assert set(asked) == {("Jiayi-Pan/Countdown-Tasks-3to4", "train[:12000]")}
    assert len(task.all_prompts()) == 59
    assert task.all_prompts()[0].prompt_id.startswith("countdown/train[:12000]/")


@pytest.mark.parametrize("data", ["~nosuchuser/x", "a\0b", "x" * 300])
def test_a_data_folder_that_can_be_no_folder_is_refused(data: str) -> None:
    with pytest.raises(DataError, match=r"task\.data"):
        task_of("gsm8k", Path(data))


def test_made_questions_that_share_the_words_of_their_template_are_not_leaks(made_folder: Path) -> None:
    task = task_of("knights_and_knaves", made_folder)
    assert "contaminated" not in task.report["training"]["left_out"]
    assert len(task.training) == NUM_PROBLEMS


def test_a_training_row_equal_to_a_held_out_one_is_dropped_even_if_made(made_folder: Path, tmp_path: Path) -> None:
    rows = (made_folder / "mbpp" / "mbpp.jsonl").read_text().splitlines()
    row = {**json.loads(rows[0]), "task_id": 700}
    (tmp_path / "mbpp").mkdir()
    (tmp_path / "mbpp" / "mbpp.jsonl").write_text("\n".join([*rows, json.dumps(row)]))
    report = task_of("mbpp", tmp_path).report["training"]
    assert report["left_out_rows"]["contaminated"] == {"mbpp/700": "against mbpp"}


def test_other_sets_can_be_the_evaluation(made_folder: Path) -> None:
    task = task_of("gsm8k", made_folder, held_out=["countdown", "mbpp"], max_held_out=30)
    assert {prompt.family for prompt in task.held_out} == {"countdown", "mbpp"}
    assert {prompt.family for prompt in task.training} == {"gsm8k"}
    with pytest.raises(DataError, match=r'ifeval: this set is for evaluation only; .*task\.held_out = \["ifeval"\]'):
        task_of("ifeval", made_folder)


def test_the_data_folder_is_the_recipes_or_the_environments(
    made_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(made_folder))
    task = load_task(NamedTask(type="named", name="gsm8k"))
    assert task.report["training"]["sources"] == [str(made_folder / "gsm8k" / "train.jsonl.gz")]
    with pytest.raises(DataError, match=r"none: no such folder; correct task\.data"):
        task_of("gsm8k", tmp_path / "none")
    with pytest.raises(DataError, match=r"train\.jsonl\.gz: no such file; the nearest folder .* correct task\.data"):
        task_of("gsm8k", tmp_path)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(DataError, match="correct the environment variable THINKWRIGHT_DATA"):
        load_task(NamedTask(type="named", name="gsm8k"))


def test_a_file_of_other_rows_is_named_with_its_place(made_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "svamp").mkdir()
    (tmp_path / "svamp" / "svamp.jsonl").write_text('{"question": "a"}\n')
    with pytest.raises(DataError, match=r"svamp\.jsonl:1: no column 'Body', only 'question'; is this a file of svamp"):
        task_of("svamp", tmp_path)
    (tmp_path / "svamp" / "svamp.jsonl").write_text('{"Body": "a", "Question": "b", "Equation": "", "Answer": "x"}\n')
    with pytest.raises(DataError, match=r"svamp\.jsonl:1: cannot be read as a row of svamp \(ValueError"):
        task_of("svamp", tmp_path)


def test_a_set_is_read_from_the_hub_where_no_folder_is_given(
    made_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    rows = [json.loads(line) for line in (made_folder / "mbpp" / "mbpp.jsonl").read_text().splitlines()]
    for split, low, high in (("train", 601, 974), ("validation", 511, 600), ("test", 11, 510)):
        part = [row for row in rows if low <= row["task_id"] <= high]
        datasets.Dataset.from_list(part).to_parquet(str(tmp_path / "set" / f"{split}.parquet"))
    real = datasets.load_dataset
    asked: list[tuple[Any, ...]] = []

    def from_folder(*name: str, split: str) -> Any:
        asked.append((*name, split))
        return real(str(tmp_path / "set"), split=split)

    monkeypatch.setattr(datasets, "load_dataset", from_folder)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    found = load_task(NamedTask(type="named", name="mbpp"))
    local = task_of("mbpp", made_folder)
    assert isinstance(found, RowPrompts)
    assert {prompt.prompt_id: prompt for prompt in found.all_prompts()} == {p.prompt_id: p for p in local.all_prompts()}
    assert ("google-research-datasets/mbpp", "full", "validation") in asked
    with pytest.raises(DataError, match=r"task mgsm: these rows are not on the Hub"):
        load_task(NamedTask(type="named", name="mbpp", held_out=("mgsm",)))


def test_filters_drop_what_they_say_and_report_it(made_folder: Path, tmp_path: Path) -> None:
    evaluation = tmp_path / "eval.jsonl"
    evaluation.write_text(json.dumps({"question": "As told, person 9 has 11 keys and apples. Then 28 more come!"}))
    rates = tmp_path / "rates.jsonl"
    questions = [prompt.question for prompt in task_of("gsm8k", made_folder).training[:39]]
    rows = [{"question_digest": question_digest(q), "pass_rate": i / 40} for i, q in enumerate(questions, 1)]
    rates.write_text("".join(json.dumps(row) + "\n" for row in rows))
    filters = {
        "decontaminate_against": [str(evaluation), "countdown"],
        "pass_rates": str(rates),
        "min_pass_rate": 0.1,
        "max_pass_rate": 0.9,
        "max_question_characters": 63,
    }
    task = task_of("gsm8k", made_folder, filters=filters)
    left_out = task.report["training"]["left_out_rows"]
    assert left_out["contaminated"] == {"gsm8k/train/10": f"against {evaluation}"}
    assert left_out["pass_rate"]["gsm8k/train/40"] == "not measured"
    assert {f"gsm8k/train/{i}" for i in (1, 2, 3, 37, 38, 39)} < left_out["pass_rate"].keys()
    assert all(len(prompt.question) <= 63 for prompt in task.all_prompts())
    assert len(task.training) + sum(map(len, left_out.values())) == NUM_PROBLEMS
    assert "gsm8k, training: 40 rows" in task.notes()[0]
    with pytest.raises(RecipeError, match="'gsm9k' is neither a file nor one of the sets"):
        task_of("gsm8k", made_folder, filters={"decontaminate_against": ["gsm9k"]})
    for rate in ("null", "true", "-1", "NaN", "1" * 400):
        rates.write_text(f'{{"question_digest": "a", "pass_rate": {rate}}}\n')
        with pytest.raises(DataError, match=r"rates\.jsonl:1: not a row with question_digest \(text\) and pass_rate"):
            task_of("gsm8k", made_folder, filters=filters)


def test_a_set_of_which_no_row_is_left_says_what_to_do_about_the_reason_most_rows_have(
    made_folder: Path, tmp_path: Path
) -> None:
    rates = tmp_path / "rates.jsonl"
    rates.write_text(json.dumps({"question_digest": "of another file", "pass_rate": 0.5}))
    filters = {"pass_rates": str(rates), "min_pass_rate": 0.1, "max_question_characters": 70}
    with pytest.raises(
        DataError, match=r"gsm8k/train/\d+: not measured; measure this task's rows with `thinkwright dif"
    ):
        task_of("gsm8k", made_folder, filters=filters)
    with pytest.raises(DataError, match=r"characters; raise task\.filters\.max_question_characters"):
        task_of("gsm8k", made_folder, filters={"max_question_characters": 10})


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"min_pass_rate": 0.1}, "need pass_rates"),
        ({"pass_rates": "x"}, "pass_rates has no effect"),
        ({"pass_rates": "x", "min_pass_rate": 0.5, "max_pass_rate": 0.4}, "leaves no row"),
    ],
)
def test_filters_without_effect_are_refused(filters: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NamedTask.model_validate({"type": "named", "name": "gsm8k", "filters": filters})


def test_duplicates_and_near_duplicates_are_dropped(tmp_path: Path, made_folder: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    words = "one two three four five six seven eight nine ten eleven twelve"
    texts = [words, words.upper() + ".", words + " again", "another question"]
    lines = "".join(json.dumps({"question": text, "answer": "#### 1"}) + "\n" for text in texts)
    (tmp_path / "gsm8k" / "train.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    held_out = (made_folder / "gsm8k" / "test_first819.jsonl").read_bytes()
    (tmp_path / "gsm8k" / "test_first819.jsonl").write_bytes(held_out)
    assert len(task_of("gsm8k", tmp_path).training) == 3
    assert len(task_of("gsm8k", tmp_path, filters={"deduplicate": False}).training) == 4
    near = task_of("gsm8k", tmp_path, filters={"near_duplicate_share": 0.7})
    assert near.report["training"]["left_out"] == {"duplicate": 1, "near_duplicate": 1}


@pytest.mark.parametrize("name", sorted(SETS))
def test_every_set_of_the_data_folder_is_whole_and_its_parts_are_apart(name: str, data_folder: Path) -> None:
    if name == "reasoning_gym":
        pytest.importorskip("reasoning_gym")
    parts = {
        part: read_set(name, part, str(data_folder)) for part in ("training", "held_out") if getattr(SETS[name], part)
    }
    for part in parts.values():
        assert part.num_left_out() < 0.3 * (len(part.examples) + part.num_left_out())
        for row, example in part.examples.items():
            assert re.fullmatch(rf"{name}/[^\s]+", row)
            assert example.question
            assert example.family.partition("/")[0] == name
            assert example.verifier in VERIFIERS
            assert example.level >= 1
    if len(parts) == 2 and SETS[name].is_made:
        training, held_out = (
            {identity(example.compared, is_made=True) for example in part.examples.values()} for part in parts.values()
        )
        assert len(training & held_out) < 20

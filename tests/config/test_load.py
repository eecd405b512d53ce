import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thinkwright.config.algorithm import Algorithm
from thinkwright.config.deciding import deciding
from thinkwright.config.distill import DistillRecipe
from thinkwright.config.load import load_recipe, parse_recipe, presets, resolved_json, shipped_recipes
from thinkwright.config.pipeline import load_pipeline
from thinkwright.config.recipe import PretrainRecipe, RLRecipe
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.section import Section
from thinkwright.config.sft import SFTRecipe
from thinkwright.config.tasks import RowsTask
from thinkwright.errors import RecipeError

ROWS = 'type = "rl"\nmodel = "tiny-base"\nsteps = 3\n[task]\ntype = "rows"\n'
MINIMAL = 'type = "rl"\nmodel = "tiny-base"\nsteps = 3\n[task]\ntype = "tiny_world"\n'


def refusal(name: str | Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(name), overrides)
    text = str(caught.value)
    assert not any(jargon in text for jargon in ("pydantic", "http", "validation error", "Input should", "Value error"))
    return text


def recipe_file(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_shipped_recipe_parses() -> None:
    kinds = {
        "tiny/base": PretrainRecipe,
        "tiny/cold-data": RejectionRecipe,
        "tiny/cold-start": SFTRecipe,
        "tiny/distill": DistillRecipe,
        "tiny/r1-zero": RLRecipe,
        "gsm8k/r1-zero": RLRecipe,
    }
    names = shipped_recipes()
    assert {*kinds, "tiny/r1"} <= set(names)
    for name in names:
        if (pipeline := load_pipeline(name)) is not None:
            assert len(pipeline.stages) > 1
        else:
            assert isinstance(load_recipe(name), kinds.get(name, Section))


def test_a_pipeline_is_no_single_stage() -> None:
    with pytest.raises(RecipeError, match=r"r1: is a pipeline of stages; give one stage's recipe"):
        load_recipe("tiny/r1")


def test_the_control_differs_from_r1_zero_in_its_rewards_alone() -> None:
    real, control = load_recipe("tiny/r1-zero"), load_recipe("tiny/r1-zero-random-reward")
    assert isinstance(real, RLRecipe)
    assert isinstance(control, RLRecipe)
    assert (control.rewards.accuracy, control.rewards.format, control.rewards.random) == (0, 0, 1)
    assert control.model_copy(update={"rewards": real.rewards}) == real


def test_rows_ask_for_their_two_files_by_the_overrides_that_give_them(tmp_path: Path) -> None:
    text = refusal(recipe_file(tmp_path, ROWS))
    for key in ("task.path", "task.held_out_path"):
        assert f"{key}: required and not given" in text
        assert f"add {key}=VALUE to the command" in text


def test_overrides_are_toml_values_or_bare_text_and_the_last_one_wins(tmp_path: Path) -> None:
    overrides = ["task.path=../data/x.jsonl", "task.held_out_path='a b.jsonl'", "task.answer_pattern=#### (.+)"]
    recipe = load_recipe(
        str(recipe_file(tmp_path, ROWS)),
        [*overrides, "optimizer.lr=1e-4", "seed=3", "seed=4", "machine.device=cuda:1"],
    )
    assert isinstance(recipe, RLRecipe)
    assert isinstance(recipe.task, RowsTask)
    assert (recipe.task.path, recipe.task.held_out_path) == ("../data/x.jsonl", "a b.jsonl")
    assert recipe.task.answer_pattern == "#### (.+)"
    assert (recipe.optimizer.lr, recipe.seed, recipe.machine.device) == (1e-4, 4, "cuda:1")


def test_overrides_reach_lists_and_sections_that_the_file_lacks(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, MINIMAL)
    recipe = load_recipe(str(path), ['task.families=["facts", "ordering"]', "gate.min_forced_minus_bare=-1"])
    assert isinstance(recipe, RLRecipe)
    assert recipe.task.model_dump()["families"] == ("facts", "ordering")
    assert recipe.gate is not None
    assert recipe.gate.min_forced_minus_bare == -1


def test_a_file_with_a_byte_order_mark_and_windows_lines_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert load_recipe(str(path)).steps == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.lrr=1", "optimizer.lrr: unknown key; did you mean optimizer.lr?"),
        ("optimiser.lr=1", "optimiser: unknown key; did you mean optimizer?"),
        ("lr=1", "lr: unknown key; did you mean critic.lr or optimizer.lr?"),
        ("temperature=1", "did you mean rollout.temperature or evaluation.temperature?"),
        ("task.path=x", "task.path: unknown key; valid with type = 'tiny_world': type, families"),
        ("optimizer.lr=fast", "optimizer.lr: expected a number, got 'fast'"),
        ("optimizer.lr='1e-4'", "optimizer.lr: expected a number, got '1e-4'; remove the quotes"),
        ("optimizer.lr=0", "optimizer.lr: must be greater than 0, got 0"),
        ("steps=1.5", "steps: expected a whole number, got 1.5"),
        ("steps=true", "steps: expected a whole number, got true"),
        ("machine.device=0", 'machine.device: expected text, got 0; write "0"'),
        ("machine.dtype=bf16", "machine.dtype: expected 'auto', 'bfloat16' or 'float32', got 'bf16'"),
        ("machine.dtype=BFloat16", "did you mean bfloat16?"),
        ("machine=cpu", "machine: expected a table, got 'cpu'"),
        ("task.families=facts", "task.families: expected a list, got 'facts'; write [\"facts\"]"),
        ("task.families=[]", "task.families: needs at least 1 entry, got []"),
        ('task.families=["fact"]', "task.families[0]: expected 'arithmetic'"),
        ('task.families=["fact"]', "got 'fact'; did you mean facts?"),
        (
            "task.type=tinyworld",
            "task.type: expected 'tiny_world' or 'tiny_requests' or 'named' or 'rows' or 'mixture', got 'tinyworld'; "
            "did you mean tiny_world?",
        ),
        ("type=dpo", "type: expected 'pretrain' or 'sft' or 'rl'"),
    ],
)
def test_a_wrong_value_or_key_is_named_with_what_to_do(override: str, words: str) -> None:
    text = refusal("tiny/r1-zero", override)
    assert words in text
    assert "\n" not in text
    assert text.startswith("shipped recipe tiny/r1-zero: ")
    assert text.endswith(f"(from the override {override})")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "override seed: no '='; write key=value"),
        ("=3", "override =3: the key has an empty part"),
        ("optimizer..lr=3", "override optimizer..lr=3: the key has an empty part"),
        ("seed=", "override seed=: no value after '='"),
        ("steps.x=1", "override steps.x=1: steps is 60, not a table"),
    ],
)
def test_an_override_that_cannot_be_read_is_named(override: str, words: str) -> None:
    assert words in refusal("tiny/r1-zero", override)


def test_a_wrong_key_in_the_file_is_told_with_the_file_and_without_an_override(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, MINIMAL + "familys = 3\n")
    assert refusal(path) == f"{path}: task.familys: unknown key; did you mean task.families?"


def test_all_problems_are_told_one_a_line(tmp_path: Path) -> None:
    path = recipe_file(tmp_path, MINIMAL + "[optimizer]\nlr = 'fast'\n[rollot]\ngroup_size = 4\n")
    lines = refusal(path, "seed", "steps=0").splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{path}: ") for line in lines)
    found = "\n".join(lines)
    assert all(
        words in found for words in ("no '='", "optimizer.lr", "did you mean rollout?", "steps: must be greater")
    )


def test_missing_required_keys_say_where_to_write_them(tmp_path: Path) -> None:
    text = refusal(recipe_file(tmp_path, 'type = "rl"\nsteps = 3\n[task]\n'))
    assert "model: required and not given" in text
    assert "model = VALUE at the top of the file" in text
    assert (
        "task.type: required and not given; write 'tiny_world' or 'tiny_requests' or 'named' or 'rows' or 'mixture'"
        in text
    )
    text = refusal(recipe_file(tmp_path, "seed = 1\n"))
    assert "type: required and not given; write 'pretrain' or 'sft' or 'rl'" in text


CRITIC = ["algorithm.advantage=gae", "critic.lr=1e-5"]
TRACES = ['teacher_traces.data=["traces.jsonl"]']


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["rollout.prompts_per_step=3"], "rollout.prompts_per_step must be a multiple of algorithm.mini_batches"),
        (["algorithm.kl_coef=0"], "algorithm: reference_refresh_steps has no effect with kl_coef = 0"),
        (["rewards.accuracy=0", "rewards.format=0"], "rewards: all reward weights are 0"),
        (["algorithm.weight_cap=3"], 'weight_cap has no effect with loss = "clip"; it is for "cispo", "dppo"'),
        (["algorithm.loss=cispo", "algorithm.clip_low=0.1"], 'clip_low has no effect with loss = "cispo"'),
        (["algorithm.loss=ppo"], "'ppo' is none of clip, gspo, cispo, dppo, policy_gradient, sapo"),
        (["algorithm.advantage=std"], "nor package.module:function"),
        (["algorithm.entropy_share=0.1"], 'entropy_share has no effect with entropy = "none"'),
        (["algorithm.mini_batches=1", "algorithm.loss=sapo"], "is the plain policy gradient with mini_batches = 1"),
        (["algorithm.mini_batches=1", "algorithm.clip_low=0.1"], "clip_low has no effect with mini_batches = 1"),
        (["algorithm.kl=k1"], 'kl = "k1" and kl_in = "reward" belong together'),
        (["algorithm.kl_in=reward"], 'kl = "k1" and kl_in = "reward" belong together'),
        (["algorithm.loss=gspo", "algorithm.entropy=clip_cov"], 'loss = "gspo" takes a completion whole'),
        (["algorithm.loss=gspo", "algorithm.correction=band", "lora.rank=4"], 'set correction = "truncate_sequence"'),
        (["algorithm.loss=dppo", "algorithm.correction=band", "lora.rank=4"], "would count the difference twice"),
        (["algorithm.correction=band"], "has no effect where the trainer's own model samples"),
        (
            [
                "algorithm.kl_coef=0",
                "algorithm.reference_refresh_steps=default",
                "algorithm.reference_refresh_optimizer=true",
            ],
            "reference_refresh_optimizer has no effect with kl_coef = 0",
        ),
        (["rollout.refill_rounds=2", "machine.ranks=2"], "rollout.refill_rounds: ranks that sample themselves"),
        (["rollout.thinking_budget=[9, 4]"], "thinking_budget: 9 is over 4"),
        (["rollout.thinking_budget=[9, 192]"], "192 leaves no room for an answer within max_response_tokens = 192"),
        (["algorithm.entropy=kl_cov", "algorithm.mini_batches=1"], "which is nothing with mini_batches = 1"),
        (["algorithm.entropy=clip_cov", "algorithm.covariance_low=7"], "covariance_low: 7 is over covariance_high = 5"),
        (["algorithm.loss=dppo", "algorithm.mini_batches=1"], "is the plain policy gradient where the trainer samples"),
        (["algorithm.advantage=maximum_likelihood"], "is for rewards of 0 and 1 alone"),
        (["algorithm.advantage=gae"], "is what a critic is for, and needs one"),
        (["critic.lr=1e-5"], "is what a critic is for, and needs one"),
        ([*CRITIC, "machine.ranks=2"], "critic: it learns in one process and by its own weights"),
        ([*CRITIC, "lora.rank=4"], "critic: it learns in one process and by its own weights"),
        ([*CRITIC, "algorithm.kl=k1", "algorithm.kl_in=reward"], "the critic learns the task's reward alone"),
        ([*CRITIC, "rollout.refill_rounds=1"], "with a critic every completion teaches"),
        ([*CRITIC, "critic.pretrain_steps=60"], "critic.pretrain_steps = 60 leaves the policy no step of 60"),
        ([*CRITIC, "rewards.normalize=per_reward"], "critic: it learns what reward a completion comes to"),
        ([*CRITIC, "algorithm.loss=gspo"], "critic: it learns what reward a completion comes to"),
        ([*TRACES, "algorithm.loss=gspo"], "a trace is learned from token by token"),
        ([*TRACES, "algorithm.kl=k1", "algorithm.kl_in=reward"], "is for tokens that the policy drew"),
        (["teacher_traces.data=[]"], "teacher_traces.data: needs at least 1 entry"),
        (
            ["kept_checkpoints.every_steps=30"],
            "kept_checkpoints.every_steps = 30 is no multiple of checkpoint_steps = 20",
        ),
        (["kept_checkpoints.best=true"], "make evaluation.every_steps (15) a multiple of checkpoint_steps = 20"),
        (["use=moder"], "there is no preset moder; did you mean"),
    ],
)
def test_the_schema_own_rules_speak_in_their_own_words(overrides: list[str], words: str) -> None:
    assert words in refusal("tiny/r1-zero", *overrides)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 100_000, "lists or tables within one another without end"),
        ("a = " + "{b = " * 50_000, "lists or tables within one another without end"),
        ("type = 'rl'\n" + "a." * 200_000 + "b = 1", "line 2: a key of over 64 parts is no key of a recipe"),
        ("[" + "a . " * 100_000 + "b]", "line 1: a key of over 64 parts"),
        ("x = {" + "a." * 100_000 + "b = 1}", "line 1: a key of over 64 parts"),
        ("a = '" + "x" * 1_000_000 + "'", "over 1,000,000 bytes are no recipe"),
        ("a = " + "1" * 100_000, "Exceeds the limit"),
    ],
    ids=["lists", "tables", "key", "header", "inline", "size", "number"],
)
def test_a_recipe_made_to_break_the_reader_is_refused_in_words(text: str, words: str, tmp_path: Path) -> None:
    assert words in refusal(str(recipe_file(tmp_path, text)))


def test_the_override_default_takes_a_key_out_of_the_recipe() -> None:
    recipe = load_recipe("tiny/r1-zero", ["algorithm.kl_coef=0", "algorithm.reference_refresh_steps=default"])
    assert isinstance(recipe, RLRecipe)
    assert recipe.algorithm.kl_coef == 0
    assert recipe.algorithm.reference_refresh_steps == Algorithm().reference_refresh_steps


def test_presets_lie_under_a_files_keys_and_over_them_on_the_command_line(tmp_path: Path) -> None:
    text = 'use = ["modern"]\ntype = "rl"\nmodel = "tiny-base"\nsteps = 3\n[task]\ntype = "tiny_world"\n'
    found = load_recipe(str(recipe_file(tmp_path, text + "[algorithm]\nweight_cap = 7.0\n")))
    assert isinstance(found, RLRecipe)
    assert (found.algorithm.loss, found.algorithm.weight_cap, found.algorithm.kl_coef) == ("cispo", 7.0, 0.0)
    assert found.rewards.normalize == "per_reward"
    given = load_recipe("tiny/r1-zero", ["use=modern", "algorithm.weight_cap=3"])
    assert isinstance(given, RLRecipe)
    assert (given.algorithm.loss, given.algorithm.weight_cap, given.algorithm.kl_coef) == ("cispo", 3.0, 0.0)


@pytest.mark.parametrize("name", presets())
def test_every_preset_makes_a_whole_recipe(name: str) -> None:
    recipe = load_recipe("tiny/r1-zero", [f"use={name}"])
    assert resolved_json(parse_recipe("again", json.loads(resolved_json(recipe)))) == resolved_json(recipe)


def test_infinite_numbers_are_refused() -> None:
    assert "optimizer.lr" in refusal("tiny/r1-zero", "optimizer.lr=inf")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type = rl\n", "line 1, column 8"),
        ('type = "rl"\nsteps = 3\nsteps = 4\n', "(at line 3, column 10); this key stands twice"),
        ('type = "rl"\n\nfamilies = ["facts"\n', "line 3, the end of the file"),
    ],
)
def test_broken_toml_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    path = recipe_file(tmp_path, text)
    found = refusal(path)
    assert found.startswith(f"{path}: not valid TOML: ")
    assert words in found


@pytest.mark.parametrize("name", ["tiny/r1zero", "tiny/r1-zero.toml", "Tiny/r1-zero"])
def test_a_misspelt_name_gets_a_hint_and_the_list_of_shipped_recipes(name: str) -> None:
    text = refusal(name)
    assert f"{name}: " in text
    assert "did you mean tiny/r1-zero?" in text
    assert all(shipped in text for shipped in shipped_recipes())


@pytest.mark.parametrize("name", ["mine.tml", "mine", "mnie.toml"])
def test_a_misspelt_file_gets_the_nearest_of_its_folder(name: str, tmp_path: Path) -> None:
    path = recipe_file(tmp_path, MINIMAL)
    (tmp_path / "quite_another.toml").write_text(MINIMAL)
    assert f"there is no such file; did you mean {path}? shipped recipes: " in refusal(tmp_path / name)
    assert "did you mean" not in refusal(tmp_path / "xyz.toml")


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert f"{missing}: no shipped recipe has this name and there is no such file" in refusal(missing)
    assert f"{tmp_path}: cannot be read (Is a directory)" in refusal(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'model = "caf\xe9"\n')
    assert f"{latin}: byte 12 is not UTF-8; save the file as UTF-8" in refusal(latin)


def test_the_resolved_recipe_is_json_with_every_default_and_means_the_same() -> None:
    recipe = load_recipe("tiny/r1-zero", ["seed=7"])
    found = json.loads(resolved_json(recipe))
    assert (found["seed"], found["optimizer"]["beta2"], found["rollout"]["group_size"]) == (7, 0.95, 16)
    assert json.loads(resolved_json(RLRecipe.model_validate(found))) == found


def test_loading_a_recipe_imports_no_heavy_library() -> None:
    code = (
        "import sys, thinkwright.config.load as load; load.load_recipe('tiny/r1-zero', []); "
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("task.levels=[2]", "write the whole list task.levels, such as"),
        ("task.levels=[1, 2, 3]", "task.levels: takes at most 2 entries"),
        ("model=\udcff", "is not UTF-8"),
    ],
)
def test_remedies_can_be_followed(override: str, words: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(words)):
        load_recipe("gsm8k/r1-zero", [override])


def test_a_key_missing_in_a_list_is_to_be_written_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mixed.toml"
    path.write_text(
        'type = "rl"\nmodel = "m"\nsteps = 1\n[task]\ntype = "mixture"\n[[task.parts]]\nweight = 1\n'
        'task = { type = "named" }\n[[task.parts]]\nweight = 1\ntask = { type = "named", name = "gsm8k" }\n'
    )
    with pytest.raises(RecipeError, match="add name = VALUE to that entry in the file"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("algorithm.loss=clip", {"clip_low": 0.2, "clip_high": 0.28, "weight_cap": None}),
        ("algorithm.clip_low=0.1", {"clip_low": 0.1, "clip_high": 0.28}),
        ("algorithm.loss=cispo", {"clip_low": None, "weight_cap": 5.0}),
        ("algorithm.entropy=clip_cov", {"entropy_share": 0.0002, "covariance_high": 5.0, "entropy_coef": None}),
        ("algorithm.mini_batches=1", {"clip_low": None}),
    ],
)
def test_the_written_recipe_holds_the_settings_that_are_heeded(override: str, expected: dict[str, float]) -> None:
    recipe = load_recipe("tiny/r1-zero", [override])
    written = json.loads(resolved_json(recipe))
    assert expected.items() <= written["algorithm"].items()
    again = parse_recipe("recipe.json", written)
    assert resolved_json(again) == resolved_json(recipe)


def test_a_recipe_of_an_earlier_version_decides_the_same() -> None:
    now = json.loads(resolved_json(load_recipe("tiny/r1-zero")))
    earlier = now | {"algorithm": now["algorithm"] | {"clip_low": None, "clip_high": None}}
    assert deciding(earlier) == deciding(now)
    assert deciding(now | {"algorithm": now["algorithm"] | {"clip_low": 0.1}}) != deciding(now)


def test_passes_decide_where_tokens_are_told_apart_within_them() -> None:
    def of(entropy: str, tokens: int) -> dict[str, Any]:
        overrides = [f"algorithm.entropy={entropy}", f"optimizer.micro_batch_tokens={tokens}"]
        return deciding(json.loads(resolved_json(load_recipe("tiny/r1-zero", overrides))))

    assert of("none", 512) == of("none", 4096)
    assert of("high_entropy", 512) != of("high_entropy", 4096)

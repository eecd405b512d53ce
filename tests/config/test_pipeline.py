"""What a pipeline's stages may take from each other, and which seed they have: told before anything runs."""

from pathlib import Path

import pytest

from thinkwright.config.load import load_recipe
from thinkwright.config.pipeline import load_pipeline
from thinkwright.config.recipe import RLRecipe
from thinkwright.errors import RecipeError

RL = """
type = "rl"
seed = 5
model = "tiny-base"
template = "think_summary"
steps = 3
task = { type = "tiny_world" }
[general]
first_step = 1
[general.helpful]
task = { type = "tiny_requests" }
model = "helpful"
share = 0.25
"""
PAIRS = 'type = "reward_model"\nmodel = "tiny-base"\ndata = ["pairs.jsonl"]\nreads = "READS"\nloss = "pairwise"\n'
ROWS = 'type = "rejection_sample"\nmodel = "tiny-base"\nsteps = 1\ntask = { type = "tiny_world" }\n'
TUNED = 'type = "sft"\nmodel = "tiny-base"\ndata = ["rows.jsonl"]\n'
STAGES = """
type = "pipeline"
seed = 7
[[stages]]
name = "cold-start"
recipe = "tuned.toml"
[[stages]]
name = "data"
recipe = "rows.toml"
[[stages]]
name = "helpful"
recipe = "helpful.toml"
[[stages]]
name = "harmless"
recipe = "harmless.toml"
[[stages]]
name = "last"
recipe = "LAST"
set = { SET }
"""


def pipeline_file(folder: Path, changes: str, last: str = "rl.toml") -> Path:
    """A pipeline of a stage of each kind, whose last one takes what is said."""
    files = {"rl": RL, "rows": ROWS, "tuned": TUNED}
    files |= {name: PAIRS.replace("READS", reads) for name, reads in (("helpful", "summary"), ("harmless", "response"))}
    for name, text in files.items():
        (folder / f"{name}.toml").write_text(text)
    path = folder / "stages.toml"
    path.write_text(STAGES.replace("SET", changes).replace("LAST", last))
    return path


@pytest.mark.parametrize(
    ("last", "changes", "words"),
    [
        (
            "rl.toml",
            'model = "@Cold-Start"',
            "model: '@Cold-Start' begins with @ and is no reference; did you mean @col",
        ),
        (
            "rl.toml",
            'model = "@cold_start"',
            "model: '@cold_start' begins with @ and is no reference; did you mean @col",
        ),
        ("rl.toml", 'model = "@"', "model: '@' begins with @ and is no reference; write @NAME or @NAME/FILE"),
        ("rl.toml", 'model = "@cold-strat"', "model: @cold-strat is no earlier stage; did you mean cold-start?"),
        (
            "tuned.toml",
            'data = ["@data"]',
            "data: @data: stage data (rejection_sample) leaves no model; write @data/ex",
        ),
        ("tuned.toml", 'data = ["@data/example.jsonl"]', "leaves no example.jsonl; did you mean @data/examples.jsonl?"),
        ("rl.toml", 'model = "@cold-start/modle"', "stage cold-start (sft) leaves no modle; did you mean @cold-start?"),
        ("rl.toml", 'model = "@helpful"', "model: @helpful is a reward model, which writes nothing"),
        ("tuned.toml", 'model = "@helpful/model"', "model: @helpful/model is a reward model, which writes nothing"),
        ("rl.toml", 'general.helpful.model = "@cold-start"', "@cold-start is of kind sft; give a reward_model stage"),
        ("rl.toml", 'general.helpful.model = "@harmless"', "read the response, and here it would judge the summary"),
    ],
)
def test_what_an_earlier_stage_does_not_leave_is_refused(last: str, changes: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load_pipeline(str(pipeline_file(tmp_path, changes, last)))
    assert "stage last: " in str(caught.value)
    assert words in str(caught.value)


def test_what_is_left_can_be_taken(tmp_path: Path) -> None:
    taken = 'model = "@cold-start", general.helpful.model = "@helpful/model"'
    found = load_pipeline(str(pipeline_file(tmp_path, taken)))
    assert found is not None
    assert found.stages[-1].inputs == ("cold-start", "helpful")


def test_the_seed_of_a_stage_is_its_own_only_by_set_or_override(tmp_path: Path) -> None:
    file = pipeline_file(tmp_path, "steps = 4")
    seeds: list[int] = []
    for changes, overrides in (("steps = 4", ()), ("seed = 9", ()), ("seed = 9", ("last.seed=11",))):
        file.write_text(STAGES.replace("SET", changes).replace("LAST", "rl.toml"))
        found = load_pipeline(str(file), overrides)
        assert found is not None
        seeds.append(found.stages[-1].table["seed"])
    assert seeds == [7, 9, 11], "the file's own 5 is replaced by the pipeline's"


def test_the_guard_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rl.toml"
    path.write_text(RL)
    on, off = load_recipe(str(path)), load_recipe(str(path), ["general.guard=false"])
    assert isinstance(on, RLRecipe)
    assert isinstance(off, RLRecipe)
    assert on.general is not None
    assert on.general.guard is not None
    assert off.general is not None
    assert off.general.guard is None
    with pytest.raises(RecipeError, match=r"general.guard: expected a table, got true"):
        load_recipe(str(path), ["general.guard=true"])


def test_reward_models_need_a_summary_apart_from_the_thought(tmp_path: Path) -> None:
    path = tmp_path / "rl.toml"
    path.write_text(RL)
    with pytest.raises(RecipeError, match="general: the template boxed has no summary apart from the thought"):
        load_recipe(str(path), ["template=boxed"])

"""Plans: sizes and parts against real models and sums by hand, and a whole probe through the command line."""

import dataclasses
import json
import re
from pathlib import Path
from statistics import fmean

import pytest
import torch
from torch import Tensor

from thinkwright.cli import main
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.distributed.ranks import SINGLE
from thinkwright.distributed.sharding import learner_of
from thinkwright.errors import RecipeError
from thinkwright.models.policy import load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.planning import probe
from thinkwright.planning.expected import Expected, check_expected, planned_lengths
from thinkwright.planning.from_table import Given, plan_of_table
from thinkwright.planning.hardware import HARDWARE, Hardware
from thinkwright.planning.memory import MemoryNeed, fit_of, standing_parts
from thinkwright.planning.plan import num_checkpoints, num_evaluations
from thinkwright.planning.shape import ModelSize, size_of
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.reference import reference_of, reference_tensors

SMALL = ["rollout.prompts_per_step=2", "rollout.group_size=4", "rollout.max_response_tokens=24", "steps=40"]
ONE_THREAD = "machine.threads=1"
FEW_HELD_OUT = "task.families=['facts']"


def rl_recipe(*overrides: str) -> RLRecipe:
    recipe = load_recipe("tiny/r1-zero", [*SMALL, *overrides])
    assert isinstance(recipe, RLRecipe)
    return recipe


def test_sizes_are_those_of_the_models() -> None:
    policy = load_policy(resolve_model_name("tiny-base"), device=torch.device("cpu"), dtype=torch.float32)
    size = size_of("tiny-base")
    assert size.parameters == sum(param.numel() for param in policy.model.parameters())
    assert size.multiplied == size.parameters  # head and embeddings are one
    assert size_of("Qwen/Qwen2.5-7B").parameters == 7_615_616_512  # as its card says: 7.61 B, 6.53 B without embeddings
    large = size_of("deepseek-ai/DeepSeek-V3-Base")
    assert round(large.parameters / 1e9) == 671
    assert round(large.multiplied / 1e9) == 37


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("override", ["seed=0", "lora.rank=4", "algorithm.kl_coef=0"])
def test_parts_are_the_bytes_that_a_trainer_holds(dtype: torch.dtype, override: str) -> None:
    overrides = [override, "algorithm.reference_refresh_steps=default"] if "kl" in override else [override]
    recipe, held = rl_recipe(*overrides), Held()
    policy = load_policy(resolve_model_name("tiny-base"), device=torch.device("cpu"), dtype=dtype)
    learner = learner_of(policy, SINGLE, recipe.lora, 0)
    optimizer = MasterOptimizer(learner.model, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.0)
    held.add(*policy.model.parameters(), *learner.model.parameters(), *optimizer.tensors().values())
    if recipe.algorithm.kl_coef > 0:
        held.add(*reference_tensors(reference_of(policy, learner, SINGLE, recipe.lora, 0)).values())
    parts = standing_parts(recipe, size_of("tiny-base"), dtype.itemsize)
    trained = sum(param.numel() for param in learner.model.parameters() if param.requires_grad)
    assert parts["gradients"] == 4 * trained
    assert sum(parts.values()) - parts["gradients"] == pytest.approx(held.bytes(), rel=1e-4)


class Held:
    """Bytes of tensors, each counted once."""

    def __init__(self) -> None:
        self._found: dict[int, int] = {}

    def add(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            self._found[tensor.data_ptr()] = tensor.numel() * tensor.element_size()

    def bytes(self) -> int:
        return sum(self._found.values())


def test_ranks_share_all_but_the_whole_copy() -> None:
    size = size_of("Qwen/Qwen2.5-7B")
    recipe = rl_recipe("machine.ranks=8")
    parts, count = standing_parts(recipe, size, 2), size.parameters
    assert parts == {
        "weights": 2 * count,
        "weights that learn": 4 * count // 8,
        "gradients": 4 * count // 8,
        "optimizer": 8 * count // 8,
        "reference policy": 2 * count // 8,
    }


def test_what_fits_and_what_does_not_is_named() -> None:
    parts = {"weights": 100, "gradients": 100, "optimizer": 200, "keys and values": 50, "activations": 40}
    need = MemoryNeed("the trainer", parts, 440, 1000)
    fit = fit_of(need, token_activations=4.0, token_cache=10, longest=5)
    assert (fit.cache_tokens, fit.slots, fit.micro_batch_tokens) == (70, 14, 150)
    assert fit.first_too_much == ""
    assert (fit.next_too_much, fit.growth) == ("keys and values", 14.0)
    firsts = {99: "weights", 299: "optimizer", 349: "keys and values", 399: "gradients", 439: "activations", 440: ""}
    for capacity, name in firsts.items():
        found = fit_of(dataclasses.replace(need, capacity=capacity), 4.0, 10, 5)
        assert found.first_too_much == name
        assert bool(found.remedy) == bool(name)


@pytest.mark.parametrize("mean", [3.0, 20.0, 170.0])
def test_planned_lengths_have_the_mean_and_keep_the_spread(mean: float) -> None:
    groups = [[5, 9, 40, 6], [7, 7, 7, 7], [100, 2, 3, 4]]
    found = planned_lengths(groups, num_groups=30, group_size=8, mean=mean, limit=192)
    flat = [length for group in found for length in group]
    assert len(found) == 30
    assert all(len(group) == 8 for group in found)
    assert max(flat) <= 192
    assert min(flat) >= 1
    assert fmean(flat) == pytest.approx(mean, rel=0.05)
    assert max(flat) > min(flat)


def test_evaluations_and_checkpoints_are_counted_as_a_run_makes_them() -> None:
    recipe = rl_recipe("evaluation.every_steps=10", "checkpoint_steps=15")
    assert num_evaluations(recipe, 40) == 5  # before steps 1, 11, 21, 31, and at the end
    assert num_checkpoints(recipe, 40) == 4  # two on the way, the last one, and the model


TABLE = Hardware("unit", 100_000, flops=1000.0, bandwidth=500.0, link=100.0, network=10.0, price=2.0)
UNIT = ModelSize("unit", 10, 10, 8, 6, layers=1, hidden=2, attention=0, keys=1, intermediate=2, cache_values=1)


def test_the_table_reckons_operations_and_bytes() -> None:
    # Attention counts nothing in this model; 35 % of 1,000 operations, 60 % of 500 bytes a second.
    recipe = rl_recipe("rollout.max_response_tokens=192", "algorithm.kl_coef=0.01")
    given = Given(response_tokens=10, learned_share=0.5, prompt_tokens=4, rows=None, devices=1, price=None)
    plan = plan_of_table("unit", recipe, UNIT, None, (), TABLE, given)
    sampled = 2 * 4 * 10
    learned = 0.5 * (sampled + 2 * 4)
    # A forward pass is 2 x 10 operations a token; with the backward and the reference's pass four of them.
    assert plan.phases["update"] == pytest.approx(learned * 20 * 4 / 350)
    # 8 rows run side by side for 30 steps (the longest has three times the mean). Each step reads 20 bytes of weights
    # and 2 for each of 4 + 10 / 2 tokens of each row, which takes longer than its 20 operations a row.
    assert plan.phases["sampling"] == pytest.approx(30 * (20 + 8 * 9 * 2) / 300)
    assert plan.hours == pytest.approx(40 * (plan.phases["update"] + plan.phases["sampling"]) / 3600)
    assert plan.money == pytest.approx(2.0 * plan.hours)


def test_a_stage_of_rows_is_planned_when_their_number_is_said() -> None:
    recipe = load_recipe("tiny/cold-start")
    given = Given(response_tokens=10, learned_share=1.0, prompt_tokens=4, rows=160, devices=1, price=1.0)
    plan = plan_of_table("rows", recipe, UNIT, None, (), TABLE, given)  # type: ignore[arg-type]
    assert plan.learned_tokens == pytest.approx(160 * 14)
    with pytest.raises(RecipeError, match="--rows"):
        plan_of_table("rows", recipe, UNIT, None, (), TABLE, dataclasses.replace(given, rows=None))  # type: ignore[arg-type]


def test_the_papers_scale_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "r1_paper/r1", "--hardware", "h800", "--devices", "512", "--response-tokens", "4000"]) == 0
    text = capsys.readouterr().out
    assert "zero-long: 138 steps on 512 devices, by the data sheet of h800" in text
    assert "each trainer: does not fit; the first thing that will not: weights" in text  # each rank holds a whole copy
    assert "cold-start: not planned: --rows" in text
    assert "reward models" in text
    assert "together" in text


def test_a_7b_fits_the_machine_its_recipe_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "qwen2.5-7b/r1-zero", "--hardware", "h100", "--response-tokens", "2000"]) == 0
    assert "does not fit" not in capsys.readouterr().out


def test_a_probe_measures_memory_and_time_of_the_whole_run(capfd: pytest.CaptureFixture[str]) -> None:
    options = ["--response-tokens", "12", "--learned-share", "0.5", "--price", "3"]
    assert main(["plan", "tiny/r1-zero", *SMALL, ONE_THREAD, FEW_HELD_OUT, "gate=default", *options]) == 0
    text = capfd.readouterr().out
    assert "tiny/r1-zero: 40 steps on one device, by two steps measured on this machine's cpu" in text
    assert "the trainer: fits" in text
    for part in ("weights", "gradients", "optimizer", "reference policy", "keys and values", "activations", "program"):
        assert re.search(rf"{part} +│ +[\d,.]+ [MG]B", text), part
    sampled = re.search(r"tokens: ([\d,]+) sampled", text)
    assert sampled is not None
    assert int(sampled[1].replace(",", "")) == pytest.approx(40 * 2 * 4 * 12, rel=0.1)  # eight whole lengths
    assert "completions of 12 tokens on average, as given" in text
    assert "50% of the groups teach something, as given" in text
    assert re.search(r"device-hours: [\d.]+, \$\d+\.\d\d at \$3 an hour", text)


def test_a_probe_of_rows_counts_their_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(probe, "_launch", probe._measure_here)  # in this process: another loads for seconds
    rows = [{"question": f"What is {i} + {i}?", "thought": f"{i} and {i}.", "answer": str(2 * i)} for i in range(24)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    changes = [f'data=["{file}"]', "batch_size=8", "warmup_steps=1", "held_out_share=0", "task=default"]
    changes += ["evaluation=default", ONE_THREAD]
    assert main(["plan", "tiny/cold-start", *changes]) == 0
    text = capfd.readouterr().out
    assert "tiny/cold-start: 3 steps on one device" in text
    assert "tokens: 0 sampled" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tiny/r1-zero", "--devices", "4"], "--devices has no effect without --hardware"),
        (["tiny/r1-zero", "--hardware", "h101", "--response-tokens", "9"], "h101 is not in the table"),
        (["tiny/r1-zero", "--hardware", "h100"], "say how long completions are: --response-tokens"),
        (["tiny/r1-zero", "--hardware", "h100", "--only", "zero"], "is no pipeline"),
        (["tiny/r1", "--hardware", "h100", "--only", "one", "--response-tokens", "9"], "one is no stage of"),
        (["tiny/r1"], "cannot be probed before the run"),
        (["tiny/base"], "type pretrain is not probed"),
        (["tiny/base", "--hardware", "h100", "--response-tokens", "9"], "type pretrain is not planned"),
        (["tiny/r1-zero", "--hardware", "h100", "--response-tokens", "9", "--rows", "5"], "--rows: no effect"),
        (["tiny/r1-zero", "--hardware", "h100", "--response-tokens", "500"], "over rollout.max_response_tokens = 192"),
        (["qwen2.5-7b/r1-zero", "--hardware", "h100", "--response-tokens", "9", "--devices", "1"], "give 2 or more"),
        (["tiny/r1-zero", "--like", "nowhere"], "nowhere: no folder of an RL run"),
        (["tiny/r1-zero", "--like", "nowhere", "--learned-share", "1"], "--like says --learned-share already"),
        (["tiny/r1-zero", "--response-tokens", "500"], "over rollout.max_response_tokens = 192"),
    ],
)
def test_bad_input_is_named_before_anything_runs(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments]) != 0
    assert message in capsys.readouterr().err


def test_lengths_have_no_effect_where_nothing_is_sampled() -> None:
    with pytest.raises(RecipeError, match="no effect on a stage of type sft"):
        check_expected(load_recipe("tiny/cold-start"), Expected(response_tokens=5.0))
    with pytest.raises(RecipeError, match="--learned-share: no effect on a stage of type distill"):
        check_expected(load_recipe("tiny/distill"), Expected(learned_share=0.5))


def test_the_table_of_hardware_has_no_device_without_memory_or_price() -> None:
    for device in HARDWARE.values():
        assert min(device.memory, device.flops, device.bandwidth, device.link, device.network, device.price) > 0

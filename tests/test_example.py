"""The example in one file: what it claims to be, its rules, and a very small run of it."""

import ast
import importlib.util
import random
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

PATH = Path(__file__).parents[1] / "examples" / "r1_zero_in_one_file.py"
GOLD = "B A C"


def load_example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("r1_zero_in_one_file", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def example() -> Any:
    return load_example()


@pytest.fixture
def model(example: Any) -> Any:
    torch.manual_seed(0)
    return example.new_model()


def test_it_is_one_short_file_that_stands_alone() -> None:
    source = PATH.read_text(encoding="utf-8")
    lines = source.splitlines()
    imported = set[str]()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            imported.add(str(node.module).partition(".")[0])
    assert len(lines) <= 250
    assert max(map(len, lines)) <= 120
    assert imported - sys.stdlib_module_names == {"torch", "transformers"}


def test_moves_are_applied_one_after_the_other(example: Any) -> None:
    thought, gold = example.solve("cards A B C 1 swap 2 roll 3 flip ?")
    assert thought == "A B C 1 swap gives B A C 2 roll gives A C B 3 flip gives B C A"
    assert gold == "B C A"


def test_held_out_questions_never_enter_the_training_stream(example: Any) -> None:
    rng = random.Random(0)
    exam = {example.draw_question(rng, held_out=True) for _ in range(1000)}
    web = {example.web_text(rng).partition("?")[0] + "?" for _ in range(10_000)}
    practice = {example.draw_question(rng) for _ in range(10_000)}
    assert len(exam) > 300
    assert {len(question.split()) for question in exam} == {5 + 2 * num_moves for num_moves in range(1, 7)}
    assert not exam & (web | practice)


def test_the_web_mostly_guesses_and_guessers_are_right_one_time_in_six(example: Any) -> None:
    rng = random.Random(0)
    guesses = careful = right = 0
    for _ in range(5000):
        question, _, reply = example.web_text(rng).partition(" ?")
        is_careful = "gives" in reply
        answer = " ".join(word for word in reply.split() if word in "ABC")[-5:]
        careful += is_careful
        guesses += not is_careful
        right += not is_careful and answer == example.solve(question + " ?")[1]
    assert guesses / (guesses + careful) == pytest.approx(0.7, abs=0.03)
    assert right / guesses == pytest.approx(1 / 6, abs=0.02)


@pytest.mark.parametrize(
    ("completion", "accuracy", "form"),
    [
        pytest.param(f"<think> easy </think> <answer> {GOLD} </answer>", 1, 1, id="gold"),
        pytest.param("<think> easy </think> <answer> C A B </answer>", 0, 1, id="wrong answer"),
        pytest.param(f"easy {GOLD}", 0, 0, id="no tags"),
        pytest.param(f"easy </think> <answer> {GOLD} </answer>", 1, 0, id="thought not opened"),
        pytest.param(f"<think> easy <answer> {GOLD} </answer>", 0, 0, id="thought not closed"),
        pytest.param(f"<think> easy </think> {GOLD}", 0, 0, id="no answer tags"),
        pytest.param(f"<think> </think> <answer> {GOLD} </answer>", 1, 0, id="empty thought"),
        pytest.param(f"<answer> {GOLD} </answer> <think> easy </think>", 0, 0, id="answer before thought"),
        pytest.param(f"<think> a <think> b </think> <answer> {GOLD} </answer>", 1, 0, id="a tag twice"),
        pytest.param(
            f"<think> easy </think> <answer> C A B </answer> <answer> {GOLD} </answer>", 0, 0, id="two answers"
        ),
        pytest.param(f"<think> easy </think> <answer> {GOLD} </answer> hmm", 1, 0, id="words after the answer"),
        pytest.param("", 0, 0, id="nothing"),
    ],
)
def test_reward_is_accuracy_plus_format(example: Any, completion: str, accuracy: int, form: int) -> None:
    assert example.rewards_of(completion, GOLD) == (accuracy, form)


def test_advantages_agree_with_numbers_by_hand(example: Any) -> None:
    rewards = torch.tensor([[2.0, 0.0, 0.0, 2.0], [2.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    by_hand = torch.tensor([[1.0, -1.0, -1.0, 1.0], [2**0.5, 0.0, 0.0, -(2**0.5)], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(example.group_advantages(rewards), by_hand)


def test_loss_agrees_with_numbers_by_hand(example: Any) -> None:
    # Ratios 2 and 0.5, advantages 1 and -1: min(2, 1.28) = 1.28 and min(-0.5, -0.8) = -0.8; second tokens are masked.
    policy = torch.tensor([[2.0, 9.0], [0.5, 1.0]]).log()
    old = torch.zeros(2, 2)
    ref = policy + torch.tensor([[2.0, 5.0], [1.0, 1.0]]).log()
    mask = torch.tensor([[1, 0], [1, 0]])
    loss = example.grpo_loss(policy, old, ref, torch.tensor([[1.0], [-1.0]]), mask)
    k3 = 2.0 - torch.tensor(2.0).log() - 1.0
    torch.testing.assert_close(loss, -(1.28 - 0.8 - 0.001 * k3) / 2)


def test_sampled_logprobs_are_those_of_a_full_forward_without_padding(example: Any, model: Any) -> None:
    questions = ["cards A B C 1 swap ?", "cards C A B 1 roll 2 flip 3 swap 4 swap 5 roll 6 flip ?"] * 8
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)  # Far from uniform, so that a position or mask that is off by one shows.
    ids, mask, sampled = example.sample(model, questions)
    num_tokens = sampled.shape[1]
    is_token = mask[:, -num_tokens:].bool()
    with torch.no_grad():
        read_again = example.completion_logprobs(model, ids, mask, num_tokens)
        torch.testing.assert_close(sampled[is_token], read_again[is_token], atol=1e-4, rtol=0)
        for question, row, old, own in zip(questions, ids[:, -num_tokens:], sampled, is_token, strict=True):
            text = torch.tensor([example.TOKEN_ID[word] for word in question.split()] + row[own].tolist())
            alone = model(input_ids=text[None]).logits[0, :-1].log_softmax(-1)
            alone = alone.gather(1, text[1:, None])[-int(own.sum()) :, 0]
            torch.testing.assert_close(old[own], alone, atol=1e-4, rtol=0)
    assert sampled[is_token].std() > 0.5


def test_nothing_counts_after_the_end_of_a_completion(example: Any, model: Any) -> None:
    ids, mask, sampled = example.sample(model, ["cards A B C 1 swap ?"] * 64)
    completions, is_token = ids[:, -sampled.shape[1] :], mask[:, -sampled.shape[1] :].bool()
    has_ended = completions == example.END
    expected = has_ended.cumsum(1) - has_ended.long() == 0
    assert has_ended.any()
    assert torch.equal(is_token, expected)


def test_rewards_raise_what_they_reward_and_leave_the_reference_alone(
    example: Any, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "MAX_TOKENS", 6)
    monkeypatch.setattr(example, "NUM_PROMPTS", 4)
    monkeypatch.setattr(example, "rewards_of", lambda text, gold: (float("hmm" in text), 0.0))
    reference = example.new_model()
    kept = {name: value.clone() for name, value in reference.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    lines = [example.rl_step(model, reference, optimizer, random.Random(0)) for _ in range(12)]
    first, *_, last = (float(re.findall(r"accuracy (\S+)", line)[0]) for line in lines)
    assert last > first + 0.3
    assert all(torch.equal(value, kept[name]) for name, value in reference.state_dict().items())


def test_a_very_small_run_ends_with_the_table(
    example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (("MAX_TOKENS", 12), ("NUM_PROMPTS", 4)):
        monkeypatch.setattr(example, name, value)
    monkeypatch.setattr(sys, "argv", [str(PATH), "--seed", "1", "--pretrain-steps", "3", "--rl-steps", "2"])
    example.main()
    told = capsys.readouterr().out
    assert re.search(r"^pretrain +3  loss \d", told, re.MULTILINE)
    assert re.search(r"^rl +2  accuracy \S+  format \S+  mean length +\S+  groups used", told, re.MULTILINE)
    questions = re.findall(r"^(cards .* \?)  \(gold [ABC] [ABC] [ABC]\)$", told, re.MULTILINE)
    assert len(questions) == 5
    assert len(re.findall(r"^  before  ", told, re.MULTILINE)) == 6
    assert len(re.findall(r"^  after   ", told, re.MULTILINE)) == 6

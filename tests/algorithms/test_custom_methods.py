"""A method of one's own: taken by name, and refused before a run begins if it is none."""

import sys
from pathlib import Path

import pytest
import torch

from thinkwright.algorithms.advantages import ADVANTAGES
from thinkwright.algorithms.custom import advantage_of, policy_loss_of
from thinkwright.algorithms.policy_loss import POLICY_LOSSES
from thinkwright.algorithms.tokens import LossTokens
from thinkwright.errors import RecipeError

MODULE = """
import torch

NUMBER = 3

def centered(rewards, is_counted):
    counted = is_counted.float()
    return (rewards - (rewards * counted).sum(1, keepdim=True) / counted.sum(1, keepdim=True)) * counted

def one_row(rewards, is_counted):
    return rewards[0]

def endless(rewards, is_counted):
    return rewards / 0

def halved(tokens):
    loss = -tokens.advantages * tokens.logprobs / 2
    return loss, torch.zeros_like(loss, dtype=torch.bool)

def detached(tokens):
    loss = -tokens.advantages * tokens.logprobs.detach()
    return loss, torch.zeros_like(loss, dtype=torch.bool)

def alone(tokens):
    return -tokens.advantages * tokens.logprobs

def unsure(tokens):
    return -tokens.advantages * tokens.logprobs, tokens.advantages

def wants_more(tokens, other):
    return other

def listed(rewards, is_counted):
    return rewards.tolist()

def short(tokens):
    return tokens.logprobs[1:], tokens.logprobs[1:] > 0

def three(tokens):
    return tokens.logprobs, tokens.logprobs > 0, tokens.logprobs

def flat(tokens):
    return tokens.logprobs * 0, tokens.logprobs > 0

def steep(tokens):
    return (tokens.logprobs - tokens.logprobs.detach()).abs().sqrt(), tokens.logprobs > 0

def elsewhere(tokens):
    return torch.ones(5, requires_grad=True) * 2, tokens.logprobs > 0

SEEN = {}

def kept_advantage(rewards, is_counted):
    SEEN["advantage"] = (rewards, is_counted)
    return rewards

def kept_loss(tokens):
    SEEN["loss"] = tokens
    return halved(tokens)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"own_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    return name


def test_the_names_of_the_tables_come_first() -> None:
    assert all(advantage_of(name) is function for name, function in ADVANTAGES.items())
    assert all(policy_loss_of(name) is function for name, function in POLICY_LOSSES.items())


def test_functions_of_ones_own_are_taken_from_the_folder_of_the_run(module: str) -> None:
    found = advantage_of(f"{module}:centered")(torch.tensor([[1.0, 0.0]]), torch.ones(1, 2, dtype=torch.bool))
    assert found.tolist() == [[0.5, -0.5]]
    ones = torch.ones(2)
    loss, _ = policy_loss_of(f"{module}:halved")(LossTokens(ones, ones, ones, ones, torch.zeros(2, dtype=torch.long)))
    assert loss.tolist() == [-0.5, -0.5]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("one_row", r"must give advantages of shape \(2, 4\) in floats, and gave shape \(4,\)"),
        ("endless", "not finite on a small example"),
        ("NUMBER", "is int, not a function"),
        ("missing", "correct the name after the colon"),
        ("listed", r"must give advantages of shape \(2, 4\) in floats, and gave list"),
        ("halved", r"cannot be called as function\(rewards, is_counted\) -> advantages: too many"),
    ],
)
def test_what_makes_no_advantages_is_refused(module: str, function: str, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"algorithm.advantage: {module}:{function}.*{message}"):
        advantage_of(f"{module}:{function}")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("detached", "no finite gradient by tokens.logprobs"),
        ("flat", "no finite gradient by tokens.logprobs"),
        ("steep", "no finite gradient by tokens.logprobs"),
        ("elsewhere", "no finite gradient by tokens.logprobs"),
        ("alone", "must give two tensors"),
        ("three", "must give two tensors"),
        ("short", r"must give losses of shape \(5,\) in floats, and gave shape \(4,\)"),
        ("unsure", "the second tensor must be bool"),
        ("wants_more", r"cannot be called as function\(tokens\).*required argument: .other."),
        ("missing", "correct the name after the colon"),
    ],
)
def test_what_is_no_loss_is_refused(module: str, function: str, message: str) -> None:
    with pytest.raises(RecipeError, match=rf"algorithm.loss: {module}:{function}.*{message}"):
        policy_loss_of(f"{module}:{function}")


def test_a_compiled_function_is_tried_though_it_does_not_say_what_it_takes() -> None:
    with pytest.raises(RecipeError, match=r"algorithm\.loss: torch:relu, tried on a small example, raised TypeError"):
        policy_loss_of("torch:relu")
    with pytest.raises(RecipeError, match=r"algorithm\.advantage: torch:relu, tried on a small example"):
        advantage_of("torch:relu")


def test_a_method_is_tried_on_what_a_step_can_hold(module: str) -> None:
    advantage_of(f"{module}:kept_advantage")
    policy_loss_of(f"{module}:kept_loss")
    seen = sys.modules[module].SEEN
    # A member that does not count, and a group without variance.
    assert [part.tolist() for part in seen["advantage"]] == [
        [[1.0, 0.0, 2.0, 0.5], [1.0] * 4],
        [[True, True, True, False], [True] * 4],
    ]
    # Two completions, one of them bad, whose tokens have become likelier, less likely, or neither.
    tokens = seen["loss"]
    assert tokens.logprobs.tolist() == pytest.approx([-0.5, -1.0, -2.0, -0.1, -3.0])
    assert tokens.old_logprobs.tolist() == pytest.approx([-0.6, -1.0, -1.5, -0.1, -2.9])
    assert tokens.rollout_logprobs.tolist() == tokens.old_logprobs.tolist()
    assert tokens.advantages.tolist() == [1.0, 1.0, 1.0, -0.5, -0.5]
    assert tokens.sequences.tolist() == [0, 0, 0, 1, 1]


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(RecipeError, match=r"nowhere_at_all.*run from the folder that the module is in"):
        policy_loss_of("nowhere_at_all:loss")

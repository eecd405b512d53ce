"""Teachers: a served one says what the local one computes, and whatever cannot be a teacher is refused by name."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.model_folders import write_model_folder
from tests.models.served import Answer, serving
from tests.training.served_teacher import vllm_answers
from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError, RecipeError
from thinkwright.models import endpoint
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.tokenizer import train_tokenizer
from thinkwright.training.distill_batch import TaughtSample, sample_tree
from thinkwright.training.teacher import LocalTeacher, ServedTeacher, check_tokenizers

PROMPT = (5, 9, 301, 44, 7, 12, 80)
Reply = Callable[[dict[str, Any]], Any]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def student(model_folder: Callable[[str], Path]) -> Policy:
    return load(model_folder("qwen2"))


@pytest.fixture(scope="module")
def teacher_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another kind of model, wider than the student."""
    return write_model_folder(tmp_path_factory.mktemp("teacher"), "llama", seed=1, hidden_size=96)


def load(folder: Path) -> Policy:
    return load_policy(str(folder), device=torch.device("cpu"), dtype=torch.float32)


def sample(prompt: tuple[int, ...], completion: tuple[int, ...]) -> TaughtSample:
    return TaughtSample(prompt, completion, (-1.0,) * len(completion), (-2.0,) * len(completion))


@contextmanager
def served(answer: Answer, student: Policy, **settings: Any) -> Iterator[ServedTeacher]:
    with serving(answer) as url, ServedModel(Endpoint(url=url, name="t", timeout_seconds=10, **settings)) as model:
        yield ServedTeacher(model, student)


def replying(choices: Any) -> Answer:
    return lambda path, body: (200, {"choices": choices(body["prompt"]) if callable(choices) else choices})


def entries(ids: list[int], logprob: Any = -1.0) -> list[Any]:
    return [None, *({str(token): {"logprob": logprob}} for token in ids[1:])]


def test_served_logprobs_are_those_the_local_teacher_computes(teacher_folder: Path, student: Policy) -> None:
    samples = [sample(PROMPT, (1, 2, 3, 4)), sample(PROMPT, (9,)), sample((3, 200), (10, 11, 0))]
    with served(vllm_answers(teacher_folder), student, concurrency=2) as teacher:
        teacher.check(PROMPT, 4)
        read = teacher.read(samples)
    assert [s.completion for s in read] == [s.completion for s in samples]
    policy = load(teacher_folder)
    tree = sample_tree(samples)
    tokens = torch.tensor([token for s in samples for token in s.completion])
    local, _ = token_logprobs(LocalTeacher(policy).hidden_states(tree), policy.head, tokens)
    theirs = torch.tensor([logprob for s in read for logprob in s.teacher_logprobs])
    torch.testing.assert_close(theirs, local, atol=1e-4, rtol=0)


def test_a_local_teacher_takes_no_gradient(teacher_folder: Path, student: Policy) -> None:
    teacher = load(teacher_folder)
    samples = [sample(PROMPT, (1, 2, 3))]
    hidden = torch.randn(3, 64, requires_grad=True)
    LocalTeacher(teacher).losses(hidden, student.head, sample_tree(samples), samples).sum().backward()
    assert hidden.grad is not None
    assert all(param.grad is None for param in teacher.model.parameters())
    assert student.head.grad is not None


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ([], r"no choices\[0\].prompt_logprobs; its completions must hold .* vLLM"),
        ([{"text": "hello"}], r"no choices\[0\].prompt_logprobs"),
        ([{"prompt_logprobs": None}], "no entry for each of the 9 tokens"),
        (lambda ids: [{"prompt_logprobs": entries(ids)[:-1]}], "no entry for each of the 9 tokens"),
        (lambda ids: [{"prompt_logprobs": entries([token + 1 for token in ids])}], "lacks the token 9 that was sent"),
        (lambda ids: [{"prompt_logprobs": [None] * len(ids)}], "lacks the token 9 that was sent"),
        (lambda ids: [{"prompt_logprobs": entries(ids, None)}], "lacks the token 9"),
        (lambda ids: [{"prompt_logprobs": entries(ids, float("nan"))}], "log-probability of token 9 is nan"),
    ],
)
def test_a_reply_of_another_form_is_an_error_with_the_remedy(choices: Any, words: str, student: Policy) -> None:
    with served(replying(choices), student) as teacher, pytest.raises(EndpointError, match=words):
        teacher.read([sample(PROMPT, (1, 2))])


def test_a_server_with_other_texts_for_the_ids_is_refused(student: Policy) -> None:
    def other(ids: list[int]) -> list[Any]:
        told = entries(ids)
        told[-1][str(ids[-1])]["decoded_token"] = "<end>"
        return [{"prompt_logprobs": told}]

    words = r"token 0 is '<end>' there and '<\|endoftext\|>' in the student's.*rejection_sample"
    with served(replying(other), student) as teacher, pytest.raises(EndpointError, match=words):
        teacher.check(PROMPT, 1)


def test_a_server_whose_context_is_too_short_or_that_is_down_is_refused(teacher_folder: Path, student: Policy) -> None:
    with served(vllm_answers(teacher_folder), student, retries=0) as teacher:
        teacher.check(PROMPT, 1024 - len(PROMPT) - 1)
        with pytest.raises(EndpointError, match="maximum context length"):
            teacher.check(PROMPT, 1024 - len(PROMPT))
    with pytest.raises(EndpointError, match=r"no reply in 1 tries .*; start the server"):
        teacher_that_is_gone(student).check(PROMPT, 1)


def teacher_that_is_gone(student: Policy) -> ServedTeacher:
    with serving(replying([])) as url:
        pass
    return ServedTeacher(ServedModel(Endpoint(url=url, name="t", retries=0)), student)


def test_another_tokenizer_is_refused_with_the_way_that_works(student: Policy, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "other", "qwen2")
    train_tokenizer(["quite other words, over and over again"] * 50, 300).save_pretrained(folder)
    with pytest.raises(RecipeError, match=r"teacher: mine has another tokenizer: \d+ tokens differ.*\(sft\)"):
        check_tokenizers(student, load(folder), "mine")
    check_tokenizers(student, student, "itself")


def test_the_same_tokens_with_other_ends_are_refused(student: Policy, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "other", "qwen2")
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [0, 7]}))
    with pytest.raises(RecipeError, match=r"ends completions with the ids \[0, 7\], the student with \[0\].*eos_token"):
        check_tokenizers(student, load(folder), "mine")

"""A batch that takes requests while it runs answers each as if it were alone."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rollout.test_native import often_ending
from thinkwright.errors import ModelError
from thinkwright.models.packed_attention import PackedContext
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.token_tree import TokenTree, pack_rows
from thinkwright.rollout import running
from thinkwright.rollout.engine import RolloutRequest, ThinkingBudget
from thinkwright.rollout.live_batch import LiveBatch, LiveEvent, LiveSettings, LiveToken
from thinkwright.rollout.memory import key_value_bytes
from thinkwright.rollout.native import NativeEngine
from thinkwright.rollout.prefix import Prefix, read_prefix

MAX_PROMPT, MAX_COMPLETION = 40, 70
SETTINGS = LiveSettings(max_tokens=20, seed=7, ignore_end=True)


@dataclass
class Answer:
    """All that came for one request."""

    tokens: list[LiveToken] = field(default_factory=list)
    end: str | None = None

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(token.token_id for token in self.tokens)


class Client:
    """Adds requests to a batch and sorts what comes back."""

    def __init__(self, policy: Policy, num_slots: int, head_ids: tuple[int, ...] = ()) -> None:
        self.batch = LiveBatch(policy, num_slots, MAX_PROMPT, MAX_COMPLETION, head_ids=head_ids)
        self.answers: dict[int, Answer] = defaultdict(Answer)

    def step(self) -> list[LiveEvent]:
        events = self.batch.step()
        assert len({event.request_id for event in events}) == len(events)
        for event in events:
            answer = self.answers[event.request_id]
            assert answer.end is None, "nothing comes after the end"
            answer.tokens += event.tokens
            answer.end = event.end
        return events

    def finish(self) -> None:
        for _ in range(10_000):
            if not self.step():
                break
        assert (self.batch.num_running, self.batch.num_waiting) == (0, 0)


def alone(policy: Policy, request: RolloutRequest, settings: LiveSettings) -> Answer:
    client = Client(policy, num_slots=1)
    added = client.batch.add(request, settings)
    client.finish()
    return client.answers[added]


def prompt_of(*ids: int) -> RolloutRequest:
    return RolloutRequest("p", ids)


def random_request(rng: random.Random, policy: Policy) -> tuple[RolloutRequest, LiveSettings]:
    """Any prompt, any settings: greedy, cut, stopped by a text, with a budget, with alternatives."""
    end = tuple(policy.tokenizer.encode("</think>", add_special_tokens=False))
    max_tokens = rng.randint(4, MAX_COMPLETION)
    settings = LiveSettings(
        max_tokens=max_tokens,
        seed=rng.randrange(5),
        temperature=rng.choice([0.0, 0.6, 1.0, 1.0, 1.3]),
        top_p=rng.choice([1.0, 1.0, 0.9]),
        top_k=rng.choice([0, 0, 20]),
        min_p=rng.choice([0.0, 0.0, 0.02]),
        stop=rng.choice([(), ("e",), ("th", "一")]),
        thinking_budget=rng.choice([None, ThinkingBudget(rng.randint(3, 30), "</think>", end)]),
        ignore_end=rng.random() < 0.5,
        num_alternatives=rng.choice([0, 0, 3, 20]),
    )
    prompt_ids = tuple(rng.randrange(300) for _ in range(rng.randint(1, MAX_PROMPT)))
    return RolloutRequest(rng.choice("abc"), prompt_ids, forced_start=rng.choice([(), (9, 8)])), settings


def test_what_a_request_gets_does_not_depend_on_what_runs_beside_it(policy: Policy) -> None:
    rng, client = random.Random(1), Client(often_ending(policy), num_slots=5)
    requests: dict[int, tuple[RolloutRequest, LiveSettings]] = {}
    while len(requests) < 30 or client.batch.num_running + client.batch.num_waiting:
        for _ in range(min(rng.choice([0, 0, 0, 1, 5]), 30 - len(requests))):
            request = random_request(rng, policy)
            requests[client.batch.add(*request)] = request
        unended = [i for i in requests if client.answers[i].end is None]
        # Of those that run and of those that wait, some of each.
        for is_begun in (True, False):
            ids = [i for i in unended if bool(client.answers[i].tokens) == is_begun]
            if ids and rng.random() < 0.03:
                client.batch.cancel(rng.choice(ids))
        client.step()
    assert client.step() == []
    cancelled = [answer for answer in client.answers.values() if answer.end == "cancelled"]
    assert {answer.end for answer in client.answers.values()} == {"stop", "length", "cancelled"}
    assert len(cancelled) < 15
    assert {bool(answer.tokens) for answer in cancelled} == {True, False}
    for i, request in requests.items():
        answer, expected = client.answers[i], alone(policy, *request)
        assert answer.ids == expected.ids[: len(answer.ids)], f"request {i} with {request}"
        if answer.end != "cancelled":
            assert (len(answer.ids), answer.end) == (len(expected.ids), expected.end)
        assert_same_logprobs(answer.tokens, expected.tokens[: len(answer.ids)])


def assert_same_logprobs(tokens: list[LiveToken], expected: list[LiveToken]) -> None:
    assert [token.logprob for token in tokens] == pytest.approx([token.logprob for token in expected], abs=1e-5)
    for token, other in zip(tokens, expected, strict=True):
        assert [i for i, _ in token.alternatives] == [i for i, _ in other.alternatives]
        expected_values = [value for _, value in other.alternatives]
        assert [value for _, value in token.alternatives] == pytest.approx(expected_values, abs=1e-5)


@pytest.mark.parametrize("short_tokens", [0, 128], ids=["pass of their own", "with a step"])
def test_a_head_is_read_once_and_answers_stay_the_same(
    policy: Policy, monkeypatch: pytest.MonkeyPatch, short_tokens: int
) -> None:
    monkeypatch.setattr(running, "SHORT_PROMPT_TOKENS", short_tokens)
    head = tuple(range(20, 32))
    prompts = [(*head, 5), (*head, 9, 8, 7), head, (4, 3), (*head[:-1], 2, 1), (*head, 6, 6), (*head, 5)]
    requests = [prompt_of(*ids) for ids in prompts]
    plain = [alone(policy, request, SETTINGS) for request in requests]

    def answers(num_slots: int) -> list[Answer]:
        client = Client(policy, num_slots, head)
        added = [client.batch.add(request, SETTINGS) for request in requests]
        client.finish()
        return [client.answers[number] for number in added]

    num_heads, num_tokens = 0, 0

    def counted(policy: Policy, token_ids: tuple[int, ...]) -> Prefix:
        nonlocal num_heads
        num_heads += 1
        return read_prefix(policy, token_ids)

    pack = running.pack_rows

    def packed(rows: list, first_position: int) -> TokenTree:
        nonlocal num_tokens
        num_tokens += sum(map(len, rows)) if first_position else 0
        return pack(rows, first_position)

    forward = running.RunningBatch._forward

    def forwarded(batch: running.RunningBatch, new: Any) -> torch.Tensor:
        nonlocal num_tokens
        num_tokens += len(new.tokens)
        return forward(batch, new)

    monkeypatch.setattr(running.RunningBatch, "_forward", forwarded)
    monkeypatch.setattr("thinkwright.rollout.live_batch.read_prefix", counted)
    monkeypatch.setattr(running, "pack_rows", packed)
    together, one_by_one = answers(7), answers(1)
    assert together == one_by_one
    assert num_heads == 2, "once for each batch"
    rests = sum(len(prompt) - (prompt[:12] == head and prompt != head) * len(head) for prompt in prompts)
    assert num_tokens >= (2 * rests if short_tokens else 7 * 2), "what follows it is read behind it"
    assert not short_tokens or num_tokens == 2 * rests, "and only that"
    for found, expected in zip(together, plain, strict=True):
        torch.testing.assert_close(
            [token.logprob for token in found.tokens], [token.logprob for token in expected.tokens], atol=1e-3, rtol=0
        )
        assert found.ids == expected.ids


def test_a_head_is_read_again_with_new_weights(model_folder: Callable[[str], Path]) -> None:
    head, device = tuple(range(20, 32)), torch.device("cpu")
    served, fresh = (load_policy(str(model_folder("qwen2")), device=device, dtype=torch.float32) for _ in range(2))
    with torch.no_grad():
        for param in fresh.model.parameters():
            param.mul_(1.1)
    client = Client(served, 2, head)
    client.batch.add(prompt_of(*head, 5), SETTINGS)
    client.finish()
    with torch.no_grad():
        for old, new in zip(served.model.parameters(), fresh.model.parameters(), strict=True):
            old.copy_(new)
    added = client.batch.add(prompt_of(*head, 5), SETTINGS)
    client.finish()
    other = Client(fresh, 2, head)
    expected = other.batch.add(prompt_of(*head, 5), SETTINGS)
    other.finish()
    assert client.answers[added] == other.answers[expected]


def test_an_answer_is_the_one_that_a_call_of_the_engine_gives(policy: Policy) -> None:
    """The same seed means the same completion, in training, evaluation and serving."""
    rng, client = random.Random(2), Client(often_ending(policy), num_slots=5)
    requests = {}
    while len(requests) < 10:
        request, settings = random_request(rng, policy)
        if settings.temperature > 0:
            requests[client.batch.add(request, settings)] = request, settings
    client.finish()
    for i, (request, live) in requests.items():
        ((rollout,),) = NativeEngine(policy).generate([request], live.sampling_settings())
        answer = client.answers[i]
        assert (answer.ids, answer.end) == (rollout.token_ids, rollout.finish_reason)
        logprobs = [token.logprob for token in answer.tokens]
        assert logprobs == pytest.approx(rollout.untempered_logprobs, abs=1e-4)


def test_temperature_0_takes_the_likeliest_token_and_alternatives_are_the_policy_s(policy: Policy) -> None:
    client, request = Client(policy, num_slots=2), prompt_of(5, 9, 301)
    greedy = client.batch.add(request, replace(SETTINGS, temperature=0, num_alternatives=5))
    free = client.batch.add(request, replace(SETTINGS, top_k=2))
    client.finish()
    for added, count in ((greedy, 5), (free, 0)):
        answer = client.answers[added]
        expected = policy_logprobs(policy, request.prompt_ids, answer.ids)
        of_drawn = expected[range(len(answer.ids)), answer.ids].tolist()
        assert [token.logprob for token in answer.tokens] == pytest.approx(of_drawn, abs=1e-4)
        likeliest = expected.topk(5)
        for i, token in enumerate(answer.tokens):
            assert [i for i, _ in token.alternatives] == likeliest.indices[i, :count].tolist()
            values = [value for _, value in token.alternatives]
            assert values == pytest.approx(likeliest.values[i, :count].tolist(), abs=1e-4)
    assert all(token.token_id == token.alternatives[0][0] for token in client.answers[greedy].tokens)


@torch.no_grad()
def policy_logprobs(policy: Policy, prompt_ids: tuple[int, ...], completion: tuple[int, ...]) -> torch.Tensor:
    """Of all tokens (T, V) in each place of a completion of T tokens."""
    tree = pack_rows([(*prompt_ids, *completion)], first_position=0)
    hidden = policy.packed_hidden_states(tree, PackedContext(tree, policy.device))
    return torch.log_softmax(hidden[len(prompt_ids) - 1 : -1] @ policy.head.mT, -1)


@pytest.fixture(scope="module")
def qwen(model_folder: Callable[[str], Path]) -> Policy:
    return load_policy(str(model_folder("qwen3")), device=torch.device("cpu"), dtype=torch.float32)


def test_requests_that_find_no_slot_wait_in_order_and_a_cancelled_one_s_slot_is_given_at_once(qwen: Policy) -> None:
    client = Client(qwen, num_slots=2)
    first, second, third, fourth = (client.batch.add(prompt_of(5, i), SETTINGS) for i in range(4))
    assert [event.request_id for event in client.step()] == [first, second]
    assert (client.batch.num_running, client.batch.num_waiting) == (2, 2)
    client.batch.cancel(second)
    client.batch.cancel(fourth)
    events = client.step()
    assert [(event.request_id, event.end) for event in events if event.end] == [
        (second, "cancelled"),
        (fourth, "cancelled"),
    ]
    assert [event.request_id for event in events if event.tokens] == [first, third]
    client.finish()
    assert [len(client.answers[i].ids) for i in (first, second, third, fourth)] == [20, 1, 20, 0]


def test_an_end_is_said_once_and_cancelling_it_later_changes_nothing(qwen: Policy) -> None:
    client = Client(qwen, num_slots=1)
    added = client.batch.add(prompt_of(5), replace(SETTINGS, max_tokens=1))
    assert [event.end for event in client.step()] == ["length"]
    client.batch.cancel(added)
    client.batch.cancel(12345)
    assert client.step() == []


@given(
    actions=st.lists(st.sampled_from(["add", "cancel", "step", "step", "step"]), max_size=60),
    num_slots=st.integers(1, 4),
)
@settings(max_examples=40, deadline=None)
def test_every_request_ends_exactly_once_whatever_is_asked_in_which_order(
    qwen: Policy, actions: list[str], num_slots: int
) -> None:
    client, added = Client(qwen, num_slots), []
    for i, action in enumerate(actions):
        if action == "add":
            # Over two pages, so that pages move and are used again.
            added.append(client.batch.add(prompt_of(*range(1, 2 + i % 9)), replace(SETTINGS, max_tokens=1 + i)))
        elif action == "cancel" and added:
            client.batch.cancel(added[i % len(added)])
        else:
            client.step()
        assert client.batch.num_running <= num_slots
    client.finish()
    assert all(client.answers[i].end in ("length", "cancelled") for i in added)


def test_a_prompt_that_is_read_with_a_step_is_answered_as_one_that_has_a_pass_of_its_own(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(range(3, 3 + length)) for length in (1, 31, 2, 9, 40, 3, 33)]

    def answers() -> list[Answer]:
        client = Client(policy, num_slots=3)
        added = [client.batch.add(prompt_of(*ids), SETTINGS) for ids in prompts]
        client.finish()
        return [client.answers[number] for number in added]

    with_steps = answers()
    monkeypatch.setattr(running, "SHORT_PROMPT_TOKENS", 0)
    for found, expected in zip(with_steps, answers(), strict=True):
        assert found.ids == expected.ids
        assert_same_logprobs(found.tokens, expected.tokens)


@pytest.mark.parametrize("budget", ["READ_AHEAD_TOKENS", "READ_WITH_STEP_TOKENS"])
def test_tokens_keep_coming_while_many_prompts_are_read(
    qwen: Policy, monkeypatch: pytest.MonkeyPatch, budget: str
) -> None:
    monkeypatch.setattr(running, budget, 5)
    monkeypatch.setattr(running, "SHORT_PROMPT_TOKENS", 0 if budget == "READ_AHEAD_TOKENS" else 128)
    client = Client(qwen, num_slots=8)
    long = client.batch.add(prompt_of(*range(30)), SETTINGS)
    short = [client.batch.add(prompt_of(5, i), SETTINGS) for i in range(4)]
    steps = [[event.request_id for event in client.step()] for _ in range(3)]
    assert steps == [[long], [long, *short[:2]], [long, *short]]


def test_many_requests_pass_through_few_slots(qwen: Policy) -> None:
    client = Client(qwen, num_slots=3)
    added = [client.batch.add(prompt_of(5, i), replace(SETTINGS, max_tokens=1 + i % 37)) for i in range(60)]
    client.finish()
    assert [len(client.answers[i].ids) for i in added] == [1 + i % 37 for i in range(60)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_weights_count_from_the_next_step_on(model_folder: Callable[[str], Path], dtype: torch.dtype) -> None:
    policy = load_policy(str(model_folder("qwen3")), device=torch.device("cpu"), dtype=dtype)
    client = Client(policy, num_slots=2)
    running_on = client.batch.add(prompt_of(5, 9), replace(SETTINGS, temperature=0))
    for _ in range(8):
        client.step()
    with torch.no_grad():
        policy.head[:] = -policy.head
    after = client.batch.add(prompt_of(5, 9), replace(SETTINGS, temperature=0))
    client.finish()
    fresh = alone(policy, prompt_of(5, 9), replace(SETTINGS, temperature=0))
    assert client.answers[after].ids == fresh.ids
    answer = client.answers[running_on]
    assert (len(answer.ids), answer.end) == (20, "length")
    assert answer.ids[8:] != fresh.ids[8:], "what was written before the reload stays"
    with torch.no_grad():
        policy.head[:] = -policy.head
    before = alone(policy, prompt_of(5, 9), replace(SETTINGS, temperature=0))
    assert answer.ids[:8] == before.ids[:8]
    assert answer.ids[8] != before.ids[8]


def test_what_was_not_planned_for_is_refused_and_the_rest_runs_on(qwen: Policy) -> None:
    client = Client(qwen, num_slots=1)
    kept = client.batch.add(prompt_of(5), SETTINGS)
    wide = LiveBatch(qwen, 1, max_prompt_tokens=1000, max_completion_tokens=1000)
    budget = ThinkingBudget(3, "</think>", (600,))
    refused = [
        (client.batch, prompt_of(), SETTINGS, "prompt p is empty"),
        (client.batch, prompt_of(*[5] * 41), SETTINGS, "has 41 tokens, more than the 40 that are planned"),
        (client.batch, prompt_of(5), replace(SETTINGS, max_tokens=71), "71 tokens is more than the 70"),
        (wide, prompt_of(*[5] * 1000), replace(SETTINGS, max_tokens=25), "with 25 to come .* context of 1024"),
        (client.batch, prompt_of(5, 421), SETTINGS, "token 421 is not one of the model's 421"),
        (client.batch, prompt_of(5, -1), SETTINGS, "token -1 is not one"),
        (client.batch, prompt_of(5), replace(SETTINGS, thinking_budget=budget), "token 600 is not one"),
        (client.batch, replace(prompt_of(5), forced_start=(1,) * 20), SETTINGS, "20 tokens its completion begins with"),
    ]
    for batch, request, live, message in refused:
        with pytest.raises(ModelError, match=message):
            batch.add(request, live)
    wide.add(prompt_of(*[5] * 1000), replace(SETTINGS, max_tokens=24))
    client.finish()
    assert len(client.answers[kept].ids) == 20


def test_a_plan_that_does_not_fit_is_refused_with_what_would(qwen: Policy) -> None:
    # Two prompts of 40 tokens, 8 pages (the pool comes in eights) of 32 and the one where fillers write.
    budget = (2 * 40 + 9 * 32) * key_value_bytes(qwen)
    LiveBatch(qwen, 2, 40, 70, memory_bytes=budget)
    with pytest.raises(ModelError, match=r"of 3 requests of 40 \+ 70 tokens need .*; lower num_slots .--slots. to 2"):
        LiveBatch(qwen, 3, 40, 70, memory_bytes=budget)
    with pytest.raises(
        ModelError, match=r"lower max_prompt_tokens and max_completion_tokens .--max-prompt-tokens, --max-tokens"
    ):
        LiveBatch(qwen, 1, 40, 70, memory_bytes=9 * 32 * key_value_bytes(qwen))
    with pytest.raises(ModelError, match=r"max_prompt_tokens = 1024 leaves no room .* lower it to 1023"):
        LiveBatch(qwen, 1, 1024, 70)
    with pytest.raises(ModelError, match="must be 1 or more"):
        LiveBatch(qwen, 0, 40, 70)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": 1e300},
        {"num_alternatives": 21},
        {"top_p": 0.0},
        {"stop": ("",)},
        {"max_tokens": 0},
    ],
)
def test_settings_that_cannot_be_sampled_from_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong)).removeprefix('num_')}"):
        replace(SETTINGS, **wrong)


def test_numbers_that_no_machine_word_holds_are_sampled_with(qwen: Policy) -> None:
    huge = 10**30
    budget = ThinkingBudget(huge, "</think>", (5,))
    live = replace(SETTINGS, seed=huge, top_k=huge, top_p=1e-300, temperature=1e-300, thinking_budget=budget)
    assert alone(qwen, prompt_of(5), live).ids == alone(qwen, prompt_of(5), replace(SETTINGS, temperature=0)).ids


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_requests_come_and_go_as_on_a_cpu(model_folder: Callable[[str], Path]) -> None:
    answers = []
    for device in ("cpu", "cuda"):
        policy = load_policy(str(model_folder("qwen3")), device=torch.device(device), dtype=torch.float32)
        client, rng = Client(policy, num_slots=3), random.Random(3)
        for _ in range(9):
            client.batch.add(*random_request(rng, policy))
            client.step()
        client.finish()
        answers.append([client.answers[i].ids for i in sorted(client.answers)])
    assert answers[0] == answers[1]

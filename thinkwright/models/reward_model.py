"""A reward model: a decoder with one number for a head, read at the last token of a response.

On disk it is an ordinary Hugging Face folder (``AutoModelForSequenceClassification``, one label) with
``reward_model.json`` beside the weights, which says what is put before the model and how its scores are to be read. No
end token is appended: transformers takes the last token that is no padding, and many tokenizers pad with the end token.
"""

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from thinkwright.chat.template import TEMPLATES
from thinkwright.errors import ModelError
from thinkwright.models.attention import ATTENTION_NAME
from thinkwright.models.model_folder import LOADING, WEIGHTS, check_model_folder
from thinkwright.models.policy import Policy, load_policy, training_context
from thinkwright.models.token_tree import pack, split_by_tokens
from thinkwright.run_folder import write_json_atomic

READING_FILE = "reward_model.json"
BATCH_TOKENS = 8192
"""Tokens scored in one pass."""
_INITIAL_DEVIATION = 0.02
_LOADING_ERRORS = (OSError, ValueError, KeyError, RuntimeError, TypeError, SafetensorError)

Item = tuple[str, str | None, str]
"""Question, thought if there is one, and answer."""
Encoded = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""A prompt's token ids, and those of the responses to it."""


@dataclass(frozen=True)
class Reading:
    """What a reward model is shown, and how its scores are to be read."""

    template: str
    reads: str
    """``summary``: the answer alone. ``response``: thought and answer."""
    loss: str
    """``pairwise``: only differences of scores mean something. ``pointwise``: sigmoid(score) is a probability."""
    mean: float = 0.0
    """Of the scores of held-out responses, for pairs."""
    deviation: float = 1.0
    """Their standard deviation."""

    def texts(self, item: Item) -> tuple[str, str]:
        """Prompt and response as the model is shown them."""
        question, thought, answer = item
        template = TEMPLATES[self.template]
        assert template.write_bare is not None, "recipes name only templates that have a form without a thought"
        is_shown = self.reads == "response" and thought is not None
        return template.prompt(question), template.write(thought or "", answer) if is_shown else template.write_bare(
            answer
        )

    def reward(self, score: float) -> float:
        """0 to 1: the probability that a single response is good; for pairs, its place among the held-out ones."""
        value = score if self.loss == "pointwise" else (score - self.mean) / self.deviation
        return 1 / (1 + math.exp(-max(-50.0, min(50.0, value))))


@dataclass(frozen=True)
class RewardModel:
    """Model, tokenizer and device, and how to read the scores."""

    policy: Policy
    reading: Reading

    def encode(self, items: Sequence[Item]) -> list[Encoded]:
        """Token ids of each item, prompt and response apart as sampling meets them. ModelError over the context."""
        found: list[Encoded] = []
        for item in items:
            prompt, (response,) = self._ids(item)
            if not self._fits((prompt, (response,))):
                raise ModelError(
                    f"a response of {len(response)} tokens to a prompt of {len(prompt)} is over the reward model's "
                    f"context of {self.policy.max_positions}; train one from a model with a longer context, or lower "
                    "rollout.max_response_tokens"
                )
            found.append((prompt, (response,)))
        return found

    def forward(self, encoded: Sequence[Encoded]) -> Tensor:
        """Raw scores (B,) of all responses in order, in fp32, with a gradient."""
        # pack leaves out a completion's last token, which nothing reads; here the one before it is wanted.
        end = self.policy.tokenizer.eos_token_id
        tree = pack([(prompt, [(*response, end) for response in responses]) for prompt, responses in encoded])
        lengths = torch.tensor([len(response) + 1 for _, responses in encoded for response in responses])
        last = torch.tensor(tree.predictors)[lengths.cumsum(0) - 1].to(self.policy.device)

        def compute() -> Tensor:
            hidden = self.policy.packed_hidden_states(tree, training_context(tree, self.policy.device))
            return (hidden[last].float() @ self.policy.model.score.weight.float().mT)[:, 0]

        return self.policy.in_one_pass(compute)

    def scores(self, items: Sequence[Item]) -> list[float]:
        """Raw scores. Raises ModelError as ``encode``."""
        return self._scores(self.encode(items))

    @torch.no_grad()
    def _scores(self, encoded: Sequence[Encoded]) -> list[float]:
        order = sorted(range(len(encoded)), key=lambda i: encoded[i][0])
        found = [0.0] * len(encoded)
        for batch in split_by_tokens([encoded[i] for i in order], _num_tokens, BATCH_TOKENS):
            places, order = order[: len(batch)], order[len(batch) :]
            for place, score in zip(places, self.forward(batch).tolist(), strict=True):
                found[place] = score
        return found

    def rewards(self, items: Sequence[Item]) -> list[float | None]:
        """0 to 1 each; None for one that the context does not hold."""
        encoded = [self._ids(item) for item in items]
        scores = iter(self._scores([one for one in encoded if self._fits(one)]))
        return [self.reading.reward(next(scores)) if self._fits(one) else None for one in encoded]

    def _ids(self, item: Item) -> Encoded:
        prompt, response = (self.policy.encode(text) for text in self.reading.texts(item))
        return prompt, (response,)

    def _fits(self, encoded: Encoded) -> bool:
        return len(encoded[0]) + len(encoded[1][0]) <= self.policy.max_positions

    def save(self, folder: Path) -> None:
        """Write the folder whole or not at all, then how to read its scores."""
        self.policy.save(folder)
        write_json_atomic(folder / READING_FILE, asdict(self.reading))


def _num_tokens(encoded: Encoded) -> int:
    """As packed, where each response ends in one more token."""
    prompt, responses = encoded
    return len(prompt) + sum(len(response) + 1 for response in responses)


def start_reward_model(
    name: str, reading: Reading, *, device: torch.device, dtype: torch.dtype, seed: int
) -> RewardModel:
    """A language model with a new head of small random weights. Raises ModelError as ``load_policy`` does."""
    return RewardModel(with_score_head(load_policy(name, device=device, dtype=dtype), seed), reading)


def with_score_head(policy: Policy, seed: int) -> Policy:
    """A copy of a language model's decoder with a new head of small random weights that gives one number. Raises
    ModelError if there is no such form of it."""
    config = copy.deepcopy(policy.model.config)
    config.num_labels = 1
    config.pad_token_id = policy.tokenizer.pad_token_id
    if config.pad_token_id is None:
        config.pad_token_id = policy.tokenizer.eos_token_id
    try:
        model = AutoModelForSequenceClassification.from_config(
            config, dtype=policy.dtype, attn_implementation=ATTENTION_NAME
        )
    except ValueError as error:
        raise ModelError(
            f"{config.model_type}: this kind of model has no form with a score for a head ({error})"
        ) from error
    model.to(policy.device).get_decoder().load_state_dict(policy.model.get_decoder().state_dict())
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(model.score.weight.shape, generator=generator) * _INITIAL_DEVIATION
    with torch.no_grad():
        model.score.weight.copy_(weight)
    return Policy(model.eval(), policy.tokenizer, policy.device)


def load_reward_model(folder: Path, *, device: torch.device, dtype: torch.dtype) -> RewardModel:
    """What a ``reward_model`` stage left; raises ModelError naming the folder and the remedy."""
    disable_progress_bar()
    folder = folder.expanduser()
    path = folder / READING_FILE
    try:
        reading = _checked(Reading(**json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"{folder}: no reward model, {READING_FILE} cannot be read ({error}); give the model folder of a "
            "reward_model stage"
        ) from error
    check_model_folder(folder)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **LOADING)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, dtype=dtype, attn_implementation=ATTENTION_NAME, output_loading_info=True, **WEIGHTS
        )
    except _LOADING_ERRORS as error:
        raise ModelError(f"{folder}: cannot be loaded as a reward model ({error}); make it again") from error
    if report["missing_keys"] or report["mismatched_keys"] or model.config.num_labels != 1:
        raise ModelError(f"{folder}: weights are missing or have another shape; the folder is damaged, make it again")
    return RewardModel(Policy(model.to(device).eval(), tokenizer, device), reading)


def _checked(reading: Reading) -> Reading:
    """Raises ValueError for what no recipe can have said, TypeError for a mean or deviation that is no number."""
    templates = [name for name, template in TEMPLATES.items() if template.write_bare is not None]
    for key, value, known in (
        ("template", reading.template, templates),
        ("reads", reading.reads, ("summary", "response")),
        ("loss", reading.loss, ("pairwise", "pointwise")),
    ):
        if value not in known:
            raise ValueError(f"{key} is {value!r}, none of {', '.join(known)}")
    if not (math.isfinite(reading.mean) and math.isfinite(reading.deviation) and reading.deviation > 0):
        raise ValueError(f"mean {reading.mean} and deviation {reading.deviation} are no place and width of scores")
    return reading

"""Teachers of on-policy distillation: a model beside the student, or one that vLLM serves.

A local teacher gives whole distributions, so the loss is the exact reverse KL (``models/reverse_kl.py``). A served one
gives the log-probability of each token that the student drew, so the loss is its policy-gradient estimate
(``algorithms/reverse_kl.py``). Either way the teacher reads the student's token ids, never its text again.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from thinkwright.algorithms.reverse_kl import sampled_reverse_kl_loss
from thinkwright.errors import EndpointError, RecipeError
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.logprobs import token_logprobs
from thinkwright.models.policy import Policy, training_context
from thinkwright.models.reverse_kl import reverse_kl
from thinkwright.models.token_tree import TokenTree
from thinkwright.training.distill_batch import TaughtSample

_OTHER_WAY = (
    "On-policy distillation compares probabilities token by token, so both need the same tokens: take a teacher of the "
    "student's family, or let the teacher answer (rejection_sample) and fine-tune on its rows (sft), which works with "
    "any tokenizer"
)
_REMEDY = (
    "its completions must hold the prompt's log-probabilities as vLLM's OpenAI server gives them (prompt_logprobs); "
    "serve the teacher with vLLM, or load it here with teacher"
)
_UNREADABLE = "\N{REPLACEMENT CHARACTER}"


class Teacher(Protocol):
    """What the loop needs of one."""

    @property
    def num_tokens(self) -> int:
        """Token ids below this are known to it."""
        ...

    def read(self, samples: Sequence[TaughtSample]) -> list[TaughtSample]:
        """The samples of a step with what is fetched of the teacher before the step's updates, if anything."""
        ...

    def losses(self, hidden: Tensor, head: Tensor, tree: TokenTree, samples: Sequence[TaughtSample]) -> Tensor:
        """Loss (N,) of the completion tokens of a packed tree, from the student's states (N, E) and head (V, E)."""
        ...


class LocalTeacher:
    """A model on the student's device, in its dtype."""

    def __init__(self, policy: Policy) -> None:
        policy.model.requires_grad_(False)
        self._policy = policy

    @property
    def num_tokens(self) -> int:
        """See ``Teacher``."""
        return len(self._policy.head)

    def read(self, samples: Sequence[TaughtSample]) -> list[TaughtSample]:
        """See ``Teacher``. It reads them micro-batch by micro-batch: all states at once would not fit."""
        return list(samples)

    def losses(self, hidden: Tensor, head: Tensor, tree: TokenTree, samples: Sequence[TaughtSample]) -> Tensor:
        """See ``Teacher``: the exact reverse KL."""
        return reverse_kl(hidden, head, self.hidden_states(tree), self._policy.head)

    @torch.no_grad()
    def hidden_states(self, tree: TokenTree) -> Tensor:
        """Its states (N, F) that predict the completion tokens of a packed tree."""
        states = self._policy.packed_hidden_states(tree, training_context(tree, self._policy.device))
        return states[torch.tensor(tree.predictors, device=self._policy.device)]


class ServedTeacher:
    """A model that answers ``completions`` with the log-probabilities of the prompt, as vLLM does.

    Its tokenizer cannot be seen and is taken to be the student's. ``check`` looks at what can be: every reply must
    have the very ids that were sent, and the texts that the server gives for them must be the student's.
    """

    def __init__(self, model: ServedModel, student: Policy) -> None:
        self._model, self._student = model, student

    @property
    def num_tokens(self) -> int:
        """See ``Teacher``: those of the tokenizer, since a server refuses others."""
        return max(self._student.tokenizer.get_vocab().values()) + 1

    def check(self, prompt_ids: Sequence[int], num_completion_tokens: int) -> None:
        """Raises EndpointError if it is down, cannot hold that much, answers in another form, or tells other tokens."""
        end = self._student.end_ids[0]
        ids = [*prompt_ids, *[end] * num_completion_tokens]
        for token, entry in zip(ids[1:], self._entries([ids])[0], strict=True):
            theirs = entry.get("decoded_token")
            ours = self._student.tokenizer.decode([token], skip_special_tokens=False)
            # Part of a character has no text of its own, and servers tell it in different ways.
            if isinstance(theirs, str) and _UNREADABLE not in ours + theirs and ours.strip() != theirs.strip():
                raise EndpointError(
                    f"{self._model.settings.url}: token {token} is {theirs!r} there and {ours!r} in the student's "
                    f"tokenizer. {_OTHER_WAY}"
                )

    def read(self, samples: Sequence[TaughtSample]) -> list[TaughtSample]:
        """See ``Teacher``: one request a completion."""
        entries = self._entries([[*sample.prompt_ids, *sample.completion] for sample in samples])
        return [
            replace(sample, teacher_logprobs=tuple(entry["logprob"] for entry in row[-len(sample.completion) :]))
            for sample, row in zip(samples, entries, strict=True)
        ]

    def losses(self, hidden: Tensor, head: Tensor, tree: TokenTree, samples: Sequence[TaughtSample]) -> Tensor:
        """See ``Teacher``: the policy-gradient loss, whose mean estimates the reverse KL."""
        tokens = torch.tensor([token for s in samples for token in s.completion], device=hidden.device)
        policy_logprobs, _ = token_logprobs(hidden, head, tokens)
        rollout, old, teacher = (
            torch.tensor([value for row in rows for value in row], device=hidden.device)
            for rows in (
                [s.rollout_logprobs for s in samples],
                [s.old_logprobs for s in samples],
                [s.teacher_logprobs for s in samples],
            )
        )
        return sampled_reverse_kl_loss(policy_logprobs, rollout, old, teacher)[0]

    def _entries(self, rows: Sequence[list[int]]) -> list[list[dict[str, Any]]]:
        """For each row of ids what the server says of each id but the first, which nothing predicts."""
        bodies = [{"prompt": ids, "max_tokens": 1, "temperature": 1.0, "prompt_logprobs": 0} for ids in rows]
        answers = self._model.post("completions", bodies)
        return [self._checked(ids, answer) for ids, answer in zip(rows, answers, strict=True)]

    def _checked(self, ids: Sequence[int], answer: dict[str, Any]) -> list[dict[str, Any]]:
        url = self._model.settings.url
        try:
            found: Any = answer["choices"][0]["prompt_logprobs"]
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointError(f"{url}: its reply has no choices[0].prompt_logprobs; {_REMEDY}") from error
        if not isinstance(found, list) or len(cast("list[Any]", found)) != len(ids):
            raise EndpointError(f"{url}: its prompt_logprobs has no entry for each of the {len(ids)} tokens; {_REMEDY}")
        entries: list[dict[str, Any]] = []
        for token, candidates in zip(ids[1:], cast("list[Any]", found)[1:], strict=True):
            try:
                entry = candidates[str(token)]
                is_number = math.isfinite(entry["logprob"])
            except (KeyError, TypeError) as error:
                raise EndpointError(
                    f"{url}: its prompt_logprobs lacks the token {token} that was sent; {_REMEDY}"
                ) from error
            if not is_number:
                raise EndpointError(f"{url}: the log-probability of token {token} is {entry['logprob']}; {_REMEDY}")
            entries.append(entry)
        return entries


def check_tokenizers(student: Policy, teacher: Policy, name: str) -> None:
    """Raises RecipeError unless both have the same tokens under the same ids, and the same ids end a completion."""
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    differing = sorted(token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token))
    if differing:
        token = differing[0]
        raise RecipeError(
            f"teacher: {name} has another tokenizer: {len(differing)} tokens differ, such as {token!r} (id "
            f"{ours.get(token, 'none')} in the student's, {theirs.get(token, 'none')} there). {_OTHER_WAY}"
        )
    if set(student.end_ids) != set(teacher.end_ids):
        raise RecipeError(
            f"teacher: {name} ends completions with the ids {sorted(teacher.end_ids)}, the student with "
            f"{sorted(student.end_ids)}: the student could not learn when to stop; give both the same eos_token_id in "
            "generation_config.json and eos_token in tokenizer_config.json"
        )

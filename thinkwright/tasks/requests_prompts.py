"""The tiny world's requests as a task: prompts that reward models judge in training, and a rule in the evaluation."""

from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from thinkwright.chat.template import TEMPLATES, Template
from thinkwright.config.tasks import RequestsTask
from thinkwright.errors import DataError
from thinkwright.rewards.verifiers.conduct import conduct_gold
from thinkwright.tasks.example import question_digest
from thinkwright.tasks.tiny_world.answers import KIND, answer
from thinkwright.tasks.tiny_world.requests import Request, held_out_requests, training_requests
from thinkwright.types import Prompt

_DRAWS_PER_PROMPT = 100


@dataclass(frozen=True)
class RequestsPrompts:
    """Requests of some families, in a template."""

    families: tuple[str, ...]
    template: Template
    held_out: tuple[Prompt, ...]
    report: dict[str, Any]

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        """``count`` different requests, held-out ones excepted. Raises DataError if there are not that many."""
        found: dict[str, Prompt] = {}
        for request in islice(
            training_requests(Random(f"requests/{seed}/{step}"), self.families), _DRAWS_PER_PROMPT * count
        ):
            found.setdefault(request.question, _prompt(request, self.template))
            if len(found) == count:
                return list(found.values())
        raise DataError(
            f"families {', '.join(self.families)}: only {len(found)} different requests for a step of {count}; "
            "lower rollout.prompts_per_step, or add families"
        )

    def all_prompts(self) -> tuple[Prompt, ...]:
        """The held-out prompts: every form of every family."""
        return self.held_out

    def notes(self) -> list[str]:
        """Nothing: a generated request is never left out for a fault."""
        return []


def load_requests(settings: RequestsTask, template: str) -> RequestsPrompts:
    """The requests of the chosen families."""
    chosen = TEMPLATES[template]
    held_out = tuple(_prompt(request, chosen) for request in held_out_requests(settings.families))
    return RequestsPrompts(settings.families, chosen, held_out, {"held_out": {"rows": len(held_out)}})


def _prompt(request: Request, template: Template) -> Prompt:
    _, reference = answer(request, KIND, Random(request.question))
    return Prompt(
        prompt_id=f"{request.family}/{question_digest(request.question)}",
        question=request.question,
        text=template.prompt(request.question),
        verifier="conduct",
        gold=conduct_gold(request.language, request.content),
        reference=reference,
        template=template.name,
        family=request.family,
        level=1,
        language=request.language,
    )

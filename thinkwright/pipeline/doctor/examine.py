"""The self-check before training: would this recipe reward what it should, and nothing else?

A reward that is silently zero is the commonest way to waste a run: a gold answer that the verifier cannot read, a
format that the template makes impossible, a tokenizer that loses the tags. So before step 1 a right reply to every row
(a sample of large sets) goes through the exact template, tokenizer, extractor and verifier of the recipe and must earn
full marks, and a wrong one nothing. Rows that fail are left out of training and listed; too many of them stop the run.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from thinkwright.config.recipe import RLRecipe
from thinkwright.models.policy import Policy
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.checks import (
    answer_checks,
    context_check,
    isolation_checks,
    length_check,
    speed_check,
    stop_token_check,
    tokenizer_checks,
)
from thinkwright.pipeline.doctor.rewards import reward_checks
from thinkwright.pipeline.doctor.rows import BadRow, Examined, Fitting, examine_rows
from thinkwright.rewards.pool import WorkerPool
from thinkwright.rewards.score import Scorer, score_as_trained
from thinkwright.tasks.exclusion import row_id
from thinkwright.tasks.task import Task
from thinkwright.types import Isolation, Prompt

ALL_ROWS_UP_TO = 2000
SAMPLE_ROWS = 500
ROWS_OF_EACH_KIND = 10
"""Rows of a sample from every family and verifier, so that a small part of a mixture is looked at too."""
SAMPLE_SECONDS = 60.0
ALL_SECONDS = 240.0
"""Once a row of a sample fails, all rows are examined for so long."""


@dataclass(frozen=True)
class DoctorReport:
    """What was found, and which rows to leave out."""

    checks: tuple[Check, ...]
    bad_rows: tuple[BadRow, ...] = ()
    num_rows: int = 0
    num_examined: int = 0
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_ok(self) -> bool:
        """Nothing that a run must not start with."""
        return not any(check.status == "failed" for check in self.checks)

    @property
    def excluded(self) -> frozenset[str]:
        """Ids of the rows to leave out of training."""
        return frozenset(row_id(bad.prompt_id) for bad in self.bad_rows)

    def joined(self, other: "DoctorReport") -> "DoctorReport":
        """Both together, this one's checks first."""
        return DoctorReport(
            self.checks + other.checks,
            self.bad_rows + other.bad_rows,
            self.num_rows + other.num_rows,
            self.num_examined + other.num_examined,
            self.figures | other.figures,
        )

    def with_checks(self, checks: Sequence[Check]) -> "DoctorReport":
        """The same with more checks."""
        return replace(self, checks=(*self.checks, *checks))


@dataclass(frozen=True)
class Asked:
    """How a recipe asks for replies to its task, apart from rewards."""

    seed: int
    max_tokens: int
    """A reply is cut here."""
    num_rollouts: int | None
    """Replies that are judged in one step; None where speed does not matter, as in an evaluation."""
    isolation: Isolation


RewardProbe = Callable[[Sequence[Prompt], Fitting], list[Check]]
"""Tries a recipe's rewards on rows whose right answers score full marks."""


def examine(
    recipe: RLRecipe, policy: Policy, task: Task, pool: WorkerPool, *, examine_all: bool = False
) -> DoctorReport:
    """Examine a recipe with its model and task; ``examine_all``: all rows of large sets, however long it takes."""
    rollout = recipe.rollout
    num_rollouts = rollout.prompts_per_step * rollout.group_size
    asked = Asked(recipe.seed, rollout.max_response_tokens, num_rollouts, recipe.rewards.program_isolation)
    return examine_task(
        asked,
        policy,
        task,
        pool,
        examine_all=examine_all,
        probe=lambda good, fitting: reward_checks(good, fitting, _scorer(recipe, pool), recipe.rewards),
    )


def examine_task(
    asked: Asked,
    policy: Policy,
    task: Task,
    pool: WorkerPool,
    *,
    examine_all: bool = False,
    probe: RewardProbe | None = None,
) -> DoctorReport:
    """Examine a task with a model: right and wrong replies to its rows, tokenizer, context, speed; and rewards."""
    started = time.monotonic()
    fitting = Fitting(policy.tokenizer, frozenset(policy.end_ids), asked.max_tokens)
    rows = list(task.all_prompts())
    order = _order(rows, asked.seed)
    num_first = len(rows) if examine_all else _sample_size(rows)
    _warm_up(order, fitting, pool)
    examined = examine_rows(order[:num_first], fitting, pool, float("inf") if examine_all else SAMPLE_SECONDS)
    if any(result.bad for result in examined.results) and len(examined.results) < len(rows):
        examined = _joined(examined, examine_rows(order[len(examined.results) :], fitting, pool, ALL_SECONDS))
    results = examined.results
    good = [result.prompt for result in results if result.has_reference and not result.bad]
    checks = [
        *(Check("data", "ok", line) for line in task.notes()),
        _rows_check(len(results), num_first, len(rows)),
        *answer_checks(results),
        *(probe(good, fitting) if probe is not None else ()),
        *isolation_checks(rows, asked.isolation),
        *tokenizer_checks(results, policy, rows),
        stop_token_check(policy),
        context_check(policy, rows, asked.max_tokens),
        length_check(results, asked.max_tokens),
        *(() if asked.num_rollouts is None else (speed_check(examined, asked.num_rollouts),)),
    ]
    figures = {
        "seconds": time.monotonic() - started,
        "verdicts": examined.num_verdicts,
        "verdicts_per_second": examined.num_verdicts / max(examined.seconds, 1e-9),
    }
    bad = tuple(bad for result in results for bad in result.bad)
    return DoctorReport(tuple(checks), bad, len(rows), len(results), figures)


def _scorer(recipe: RLRecipe, pool: WorkerPool) -> Scorer:
    """Scores groups as a training step does."""
    return lambda groups: score_as_trained(groups, recipe, pool, coin_seed="doctor")


def _order(rows: Sequence[Prompt], seed: int) -> list[Prompt]:
    """All rows shuffled, a few of every kind first."""
    shuffled = list(rows)
    Random(f"doctor/{seed}").shuffle(shuffled)
    seen: dict[tuple[str, str], int] = {}
    first: list[Prompt] = []
    rest: list[Prompt] = []
    for prompt in shuffled:
        kind = prompt.verifier, prompt.family
        seen[kind] = seen.get(kind, 0) + 1
        (first if seen[kind] <= ROWS_OF_EACH_KIND else rest).append(prompt)
    return first + rest


def _sample_size(rows: Sequence[Prompt]) -> int:
    """All rows of a small set; of a large one a sample in which every kind has its few rows."""
    num_kinds = len({(prompt.verifier, prompt.family) for prompt in rows})
    return len(rows) if len(rows) <= ALL_ROWS_UP_TO else max(SAMPLE_ROWS, ROWS_OF_EACH_KIND * num_kinds)


def _warm_up(rows: Sequence[Prompt], fitting: Fitting, pool: WorkerPool) -> None:
    """Let workers start and verifiers load, which belongs to no row's time."""
    one_of_each = {prompt.verifier: prompt for prompt in rows}
    examine_rows(list(one_of_each.values()), fitting, pool, 0.0)


def _joined(first: Examined, second: Examined) -> Examined:
    return Examined(
        first.results + second.results, first.num_verdicts + second.num_verdicts, first.seconds + second.seconds
    )


def _rows_check(num_examined: int, num_wanted: int, num_rows: int) -> Check:
    if num_examined == num_rows:
        return Check("rows", "ok", f"all {num_rows:,} examined")
    if num_examined < num_wanted:
        found = f"{num_examined:,} of the {num_wanted:,} to be looked at were examined in time"
        return Check("rows", "warning", found, "`thinkwright doctor RECIPE --all` takes as long as it needs")
    return Check(
        "rows", "ok", f"{num_examined:,} of {num_rows:,} examined; `thinkwright doctor RECIPE --all` takes all"
    )

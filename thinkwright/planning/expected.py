"""How long completions are expected to be, and how many groups teach: what nobody knows before a run, and a plan needs.

Both change as a policy learns. They are given, or taken from a run that is like the planned one, or else those of the
policy as it is before its first step.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import fmean

from thinkwright.config.kinds import Recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.errors import RecipeError
from thinkwright.planning.phases import StepTokens, mean_response_tokens, read_steps


@dataclass(frozen=True)
class Expected:
    """None where nothing is said."""

    response_tokens: float | None = None
    """Tokens of a completion, mean over the run."""
    learned_share: float | None = None
    """Share of groups that teach something, mean over the run."""
    lengths: tuple[tuple[int, ...], ...] = ()
    """Of the completions of many groups, if there is a run like the planned one."""


def expected_like(run: Path) -> Expected:
    """What an RL run had, or a distillation, which keeps no rollouts. Raises RunFolderError if it is neither."""
    if not (run / "rollouts").is_dir() and (tokens := mean_response_tokens(run)) is not None:
        return Expected(tokens)
    steps = read_steps(run)
    groups = tuple(tuple(group) for step in steps for group in step.lengths)
    mean = fmean(length for group in groups for length in group)
    return Expected(mean, _learned_share(steps), groups)


def _learned_share(steps: Sequence[StepTokens]) -> float:
    return fmean(step.learned_groups / len(step.lengths) for step in steps)


def planned_lengths(
    groups: Sequence[Sequence[int]], num_groups: int, group_size: int, mean: float, limit: int
) -> list[tuple[int, ...]]:
    """Lengths for a step's completions, spread as those of ``groups`` are, with the given mean, none over ``limit``.

    Of many groups as many are taken as a step has, evenly from the shortest to the longest, and stand in any order.
    """
    ordered = sorted(groups, key=sum)
    chosen = [ordered[(2 * i + 1) * len(ordered) // (2 * num_groups)] for i in range(num_groups)]
    Random("planned lengths").shuffle(chosen)
    taken = [[group[k % len(group)] for k in range(group_size)] for group in chosen]
    factor = low = 0.0
    high = limit * 2.0
    for _ in range(60):  # cutting at the limit lowers the mean, so the factor is searched for
        factor = (low + high) / 2
        found = fmean(_scaled(length, factor, limit) for group in taken for length in group)
        low, high = (factor, high) if found < mean else (low, factor)
    return [tuple(_scaled(length, factor, limit) for length in group) for group in taken]


def _scaled(length: int, factor: float, limit: int) -> int:
    return max(1, min(limit, round(length * factor)))


def check_expected(recipe: Recipe, expected: Expected) -> None:
    """Raises RecipeError for what the recipe cannot have, or does not heed."""
    rollout, option = getattr(recipe, "rollout", None), "--like" if expected.lengths else "--response-tokens"
    if rollout is None and expected != Expected():
        raise RecipeError(
            f"--like, --response-tokens, --learned-share: no effect on a stage of type {recipe.type}, which samples "
            "nothing; remove it"
        )
    if expected.learned_share is not None and not isinstance(recipe, RLRecipe) and not expected.lengths:
        raise RecipeError(f"--learned-share: no effect on a stage of type {recipe.type}; remove it")
    if rollout is not None and (expected.response_tokens or 0) > rollout.max_response_tokens:
        raise RecipeError(
            f"{option}: {expected.response_tokens:g} is over rollout.max_response_tokens = "
            f"{rollout.max_response_tokens}, where completions are cut; lower one or raise the other"
        )

"""Looks at a recipe's rewards before anything is computed: functions of the user's own, and languages."""

from collections.abc import Iterable

from thinkwright.config.rewards import RewardWeights
from thinkwright.errors import DataError, RecipeError
from thinkwright.rewards.language import checked_language
from thinkwright.rewards.pool import Task, WorkerPool


def check_rewards(rewards: RewardWeights, languages: Iterable[str], pool: WorkerPool) -> None:
    """Raises RecipeError naming the key for a function that cannot be called, or a language that cannot be told.

    ``languages``: those of the task's questions. Functions are imported in a worker, so one that hangs is ended.
    """
    tasks = [Task("check", custom.function, (), custom.deadline_seconds) for custom in rewards.custom]
    for position, (custom, result) in enumerate(zip(rewards.custom, pool.run(tasks), strict=True)):
        problem = result.value if result.outcome == "graded" else f"importing it failed: {result.detail}"
        if problem:
            raise RecipeError(f"rewards.custom[{position}].function: {custom.function}: {problem}")
    if not rewards.language:
        return
    for language in [rewards.language_target] if rewards.language_target else sorted(set(languages)):
        try:
            checked_language(language)
        except DataError as error:
            raise RecipeError(
                f"rewards.language: {error}; set rewards.language_target, or leave out such questions"
            ) from error

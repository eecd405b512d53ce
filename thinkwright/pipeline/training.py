"""What every training stage does with its trainer, once it has one."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from thinkwright.config.kinds import TrainingRecipe
from thinkwright.config.load import resolved_json
from thinkwright.config.recipe import PretrainRecipe
from thinkwright.display import Display
from thinkwright.models.policy import Policy
from thinkwright.pipeline.record import ending, record_start
from thinkwright.pipeline.spread import check_is_shared
from thinkwright.run_folder import create_run_folder
from thinkwright.training.interrupt import CutShort, StopRequest
from thinkwright.training.loop import TrainingLoop

Kind = TypeVar("Kind", bound=TrainingLoop[Any])


def trained(
    trainer: Kind,
    recipe: TrainingRecipe | PretrainRecipe,
    policy: Policy,
    *,
    resume: bool,
    argv: list[str],
    train: Callable[[Kind, Display, StopRequest], None],
    record: Callable[[], None],
    notes: Iterable[str],
    before: Callable[[Display, StopRequest], None] = lambda display, stop: None,
) -> dict[str, Any]:
    """Open the run folder, take up a checkpoint, train; returns what the summary of every kind holds.

    ``record`` leaves what the run begins with; ``notes`` are told the user. ``before`` comes before the first step.
    """
    folder, ranks = trainer.folder, trainer.ranks
    if ranks.is_first:
        create_run_folder(folder, resolved_json(recipe), resume=resume)
        record()
        record_start(folder, policy, recipe.machine, argv, resume=resume)
    check_is_shared(folder, ranks)
    with Display(is_shown=ranks.is_first) as display, StopRequest() as stop:
        for line in notes:
            display.note(line)
        if resume:
            trainer.resume(display)
        with suppress(CutShort):
            before(display, stop)
            train(trainer, display, stop)
    return {
        **ending(trainer.is_done, stop, ranks),
        "wall_seconds": trainer.wall_seconds(),
        "steps": trainer.progress.next_step,
        "seed": recipe.seed,
    }

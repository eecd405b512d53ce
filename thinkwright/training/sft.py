"""Supervised fine-tuning on thoughts and answers, as DeepSeek-R1's cold start, second SFT and distillation use it.

The loss is next-token cross-entropy on the completion alone (thought, answer and end token), its mean taken over all
such tokens of a step's rows. The rate falls along a cosine after a linear warm-up. The order of the rows is derived
from (seed, epoch), so a checkpoint needs no place in the data.
"""

import math
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from thinkwright.config.sft import SFTRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.models.policy import Policy, recompute_activations
from thinkwright.models.token_tree import common_prefix
from thinkwright.run_folder import write_json_atomic
from thinkwright.training.checkpoint import Progress
from thinkwright.training.sft_data import SFTData, SFTRow
from thinkwright.training.step_trainer import Measure, StepTrainer
from thinkwright.training.supervised import Row, backward, mean_loss, num_learned
from thinkwright.types import Metrics

Item = TypeVar("Item")


class SFTTrainer(StepTrainer):
    """The state of one run: policy, optimizer, rows, and where it stands."""

    def __init__(
        self,
        recipe: SFTRecipe,
        policy: Policy,
        data: SFTData,
        folder: Path,
        started: float,
        measure: Measure | None = None,
        ranks: Ranks = SINGLE,
    ) -> None:
        """``started`` is when the run began (``time.monotonic``), so that its wall time counts loading."""
        self.recipe, self.policy, self.data = recipe, policy, data
        super().__init__(recipe, policy, folder, started, ranks)
        if recipe.recompute_activations:
            recompute_activations(self.learner)
        self._measure = measure

    @property
    def steps_per_epoch(self) -> int:
        """Steps that take every row once."""
        return math.ceil(len(self.data.training) / self.recipe.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.epochs

    def run_step(self, step: int) -> Metrics:
        """One update on the step's rows. TrainingError, weights untouched, if loss or gradient is not finite."""
        start = time.monotonic()
        prefix, rows = packed_rows(self.batch(step))
        loss = self.micro_batch.within(
            lambda max_tokens: backward(self.learner, prefix, rows, max_tokens, self.ranks),
            self.optimizer.forget_gradients,
        )
        norm = self.optimizer.gradient_norm(loss)
        lr = self.learning_rate(step)
        self.optimizer.step(lr, norm, self.recipe.max_grad_norm)
        self.progress = Progress(step + 1, step + 1, 0, self.wall_seconds())
        seconds, num_tokens = time.monotonic() - start, num_learned(rows)
        return {
            "loss/nll": loss,
            "optim/lr": lr,
            "optim/grad_norm": norm,
            "sft/epoch": step // self.steps_per_epoch,
            "sft/tokens": num_tokens,
            "sft/tokens_per_second": num_tokens / seconds,
            "time/step_seconds": seconds,
        }

    def batch(self, step: int) -> list[SFTRow]:
        """The rows of a step."""
        return rows_of_step(self.data.training, self.recipe.seed, step, self.recipe.batch_size)

    def evaluate(self, display: Display) -> None:
        """Loss of the held-out rows and figures of the task, written to ``eval/step_<next step>.json``."""
        step = self.progress.next_step
        figures: dict[str, Any] = {}
        samples: list[dict[str, Any]] = []
        if self._measure is not None:
            result = self._measure()
            figures, samples = dict(result.figures), result.samples
        if self.data.held_out:
            prefix, rows = packed_rows(self.data.held_out)
            figures["held_out_loss"] = mean_loss(self.learner, prefix, rows, self.recipe.micro_batch_tokens, self.ranks)
            figures["held_out_rows"] = len(rows)
        if figures and self.ranks.is_first:
            row = {"step": step, "figures": figures, "samples": samples}
            write_json_atomic(self.folder / "eval" / f"step_{step:06d}.json", row)
            display.evaluation(step, figures)


def packed_rows(rows: Sequence[SFTRow]) -> tuple[Sequence[int], list[Row]]:
    """What all prompts begin with, and each row after that, with the number of prompt tokens in it."""
    shared = common_prefix([row.prompt_ids for row in rows])
    packed: list[Row] = [(row.prompt_ids[shared:] + row.completion_ids, len(row.prompt_ids) - shared) for row in rows]
    return rows[0].prompt_ids[:shared], packed


def rows_of_step(rows: Sequence[Item], seed: int, step: int, batch_size: int) -> list[Item]:
    """The next ones in the epoch's order, fewer at its end."""
    epoch, index = divmod(step, math.ceil(len(rows) / batch_size))
    order = epoch_order(seed, epoch, len(rows))
    return [rows[i] for i in order[index * batch_size : (index + 1) * batch_size]]


@lru_cache(maxsize=2)
def epoch_order(seed: int, epoch: int, num_rows: int) -> tuple[int, ...]:
    """Every row once, shuffled."""
    order = list(range(num_rows))
    Random(f"sft/{seed}/{epoch}").shuffle(order)
    return tuple(order)

"""Trains a reward model on preference pairs, or on single responses that people called good or bad.

The rate falls along a cosine; the order of the pairs is derived from (seed, epoch), so that a resumed run goes on as if
nothing had happened.
"""

import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, pstdev

import torch
from torch import Tensor

from thinkwright.algorithms.preference_loss import pairwise_loss, pointwise_loss
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.display import Display
from thinkwright.distributed.ranks import SINGLE, Ranks
from thinkwright.evaluation.preference_figures import ScoredPair, preference_figures
from thinkwright.models.reward_model import RewardModel
from thinkwright.models.token_tree import split_by_tokens
from thinkwright.run_folder import write_json_atomic
from thinkwright.training.checkpoint import Progress
from thinkwright.training.preference_data import PairRow, PreferenceData
from thinkwright.training.sft import rows_of_step
from thinkwright.training.step_trainer import StepTrainer
from thinkwright.types import Metrics


class RewardModelTrainer(StepTrainer):
    """The state of one run: model, optimizer, pairs, and where it stands."""

    def __init__(
        self,
        recipe: RewardModelRecipe,
        model: RewardModel,
        data: PreferenceData,
        folder: Path,
        started: float,
        ranks: Ranks = SINGLE,
    ) -> None:
        """``started`` is when the run began (``time.monotonic``), so that its wall time counts loading."""
        self.recipe, self.data = recipe, data
        super().__init__(recipe, model.policy, folder, started, ranks)
        self.model = RewardModel(self.learner, model.reading)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that take every pair once."""
        return math.ceil(len(self.data.training) / self.recipe.batch_size)

    @property
    def num_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.recipe.epochs

    def run_step(self, step: int) -> Metrics:
        """One update on the step's pairs. TrainingError, weights untouched, if loss or gradient is not finite."""
        start, recipe = time.monotonic(), self.recipe
        rows = self.batch(step)
        loss = self.micro_batch.within(
            lambda max_tokens: self._backward(rows, max_tokens), self.optimizer.forget_gradients
        )
        norm = self.optimizer.gradient_norm(loss)
        lr = self.learning_rate(step)
        self.optimizer.step(lr, norm, recipe.max_grad_norm)
        self.progress = Progress(step + 1, step + 1, 0, self.wall_seconds())
        return {
            "loss/preference": loss,
            "optim/lr": lr,
            "optim/grad_norm": norm,
            "preference/epoch": step // self.steps_per_epoch,
            "time/step_seconds": time.monotonic() - start,
        }

    def batch(self, step: int) -> list[PairRow]:
        """The pairs of a step."""
        return rows_of_step(self.data.training, self.recipe.seed, step, self.recipe.batch_size)

    def evaluate(self, display: Display) -> None:
        """Figures of the held-out pairs, written to ``eval/step_<next step>.json``."""
        step = self.progress.next_step
        scored = self.score(self.data.held_out)
        figures = preference_figures(scored, is_pairwise=self.recipe.loss == "pairwise")
        if not self.ranks.is_first:
            return
        rows = [pair.__dict__ for pair in scored]
        write_json_atomic(
            self.folder / "eval" / f"step_{step:06d}.json",
            {"step": step, "figures": figures, "samples": [], "scores": rows},
        )
        display.note(f"held-out pairs at step {step}: {figures['held_out_accuracy']:.1%} told as people told them")

    @torch.no_grad()
    def score(self, rows: Sequence[PairRow]) -> list[ScoredPair]:
        """Raw scores of pairs, in order; every rank reads its part of them."""
        own: list[list[ScoredPair]] = []
        for batch, is_own in self.ranks.passes(list(_micro_batches(rows, self.recipe.micro_batch_tokens))):
            scores = self.model.forward([row.encoded for row in batch]).tolist()
            if is_own:
                own.append(_scored(batch, scores))
        return [pair for batch in self.ranks.joined(own) for pair in batch]

    def scale(self) -> tuple[float, float]:
        """Mean and standard deviation of the scores of all held-out responses."""
        pairs = self.score(self.data.held_out)
        scores = [score for pair in pairs for score in (pair.chosen, pair.rejected) if score is not None]
        return fmean(scores), max(pstdev(scores), 1e-6)

    def _backward(self, rows: Sequence[PairRow], max_tokens: int) -> float:
        """Accumulate the gradient of the mean loss; returns that loss."""
        count = len(rows) if self.recipe.loss == "pairwise" else sum(len(row.encoded[1]) for row in rows)
        total = 0.0
        batches = list(_micro_batches(sorted(rows, key=lambda row: row.num_tokens), max_tokens))
        for batch, is_own in self.ranks.passes(batches):
            scores = self.model.forward([row.encoded for row in batch])
            loss = float(is_own) * self._loss(scores, batch, count)
            loss.backward()
            total += float(loss.detach())
        return self.ranks.sums({"loss": total})["loss"]

    def _loss(self, scores: Tensor, rows: Sequence[PairRow], count: int) -> Tensor:
        if self.recipe.loss == "pairwise":
            return pairwise_loss(scores[0::2], scores[1::2], count)
        labels: list[float] = []
        for row in rows:
            labels += [1.0] * row.has_chosen + [0.0] * row.has_rejected
        return pointwise_loss(scores, torch.tensor(labels, device=scores.device), count)


def _scored(rows: Sequence[PairRow], scores: Sequence[float]) -> list[ScoredPair]:
    """The pairs with their scores, which stand one after the other."""
    found: list[ScoredPair] = []
    left = iter(scores)
    for row in rows:
        lengths = iter(map(len, row.encoded[1]))
        chosen, long = (next(left), next(lengths)) if row.has_chosen else (None, 0)
        rejected, other = (next(left), next(lengths)) if row.has_rejected else (None, 0)
        found.append(ScoredPair(chosen, rejected, long, other))
    return found


def _micro_batches(rows: Sequence[PairRow], max_tokens: int) -> Iterator[list[PairRow]]:
    return split_by_tokens(rows, lambda row: row.num_tokens, max_tokens)

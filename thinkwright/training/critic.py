"""PPO's critic: a copy of the policy with one number for a head, which learns what reward a completion will come to.

The article's contrast to GRPO (DeepSeek-R1, section A.3): the same update, with a baseline that a second model has to
learn, in place of the mean of a group.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from thinkwright.algorithms.advantages import EPSILON
from thinkwright.algorithms.gae import generalized_advantages, whitened
from thinkwright.config.critic import Critic as CriticSettings
from thinkwright.config.recipe import Optimizer
from thinkwright.distributed.ranks import SINGLE
from thinkwright.models.policy import Policy, recompute_activations, training_context
from thinkwright.models.reward_model import with_score_head
from thinkwright.training.memory_limit import MicroBatch
from thinkwright.training.optimizer import MasterOptimizer
from thinkwright.training.update import drawn_of, micro_batches, of_tokens, tree_of, with_tokens
from thinkwright.types import Metrics, TrainingGroup


class Critic:
    """The critic's weights and their optimizer."""

    def __init__(self, policy: Policy, settings: CriticSettings, optimizer: Optimizer, seed: int) -> None:
        """Begins with the policy's weights as they are now and a head of small random ones. Raises ModelError if this
        kind of model has no form with such a head."""
        self._settings, self._recipe = settings, optimizer
        self.model = with_score_head(policy, seed)
        self.micro_batch = MicroBatch(optimizer.micro_batch_tokens, SINGLE)
        self._optimizer = MasterOptimizer(
            self.model.model,
            lr=settings.lr,
            betas=(optimizer.beta1, optimizer.beta2),
            weight_decay=optimizer.weight_decay,
        )
        if optimizer.recompute_activations:
            recompute_activations(self.model)

    def judged(self, groups: Sequence[TrainingGroup]) -> tuple[list[TrainingGroup], Metrics]:
        """The groups with an advantage for each token; and how well the critic foretold the rewards: 1 is perfectly, 0
        no better than their mean; not told where all are alike."""
        if not groups:
            return [], {}
        values = self._values(groups)
        sequences, rewards, is_counted = _flat(groups, self.model.device)
        advantages = generalized_advantages(rewards, values, sequences, self._settings.gae_lambda)
        counted = is_counted[sequences] & of_tokens(groups, drawn_of).to(self.model.device)
        whole = iter(whitened(advantages, counted).tolist())
        found = [with_tokens(group, "advantages", whole) for group in groups]
        targets = rewards[sequences][counted]
        spread = float(targets.var(correction=0)) if targets.numel() else 0.0
        if spread < EPSILON:  # there was nothing to foretell
            return found, {}
        return found, {"critic/explained_variance": 1 - float((targets - values[counted]).var(correction=0)) / spread}

    def update(self, groups: Sequence[TrainingGroup], lr_share: float) -> Metrics:
        """One optimizer step on (V_t - R)^2 / 2, the mean over all tokens of counted completions.

        ``lr_share``: of its learning rate. TrainingError, weights untouched, if loss or gradient is not finite.
        """
        sequences, _, is_counted = _flat(groups, self.model.device)
        num_tokens = int(is_counted[sequences].sum())

        def passes(max_tokens: int) -> float:
            return sum(self._backward(batch, num_tokens) for batch in micro_batches(groups, max_tokens))

        total = self.micro_batch.within(passes, self._optimizer.forget_gradients)
        norm = self._optimizer.gradient_norm(total)
        self._optimizer.step(self._settings.lr * lr_share, norm, self._recipe.max_grad_norm)
        return {"critic/loss": total, "critic/grad_norm": norm}

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint must hold of it, by name."""
        return {f"critic/{name}": tensor for name, tensor in self._optimizer.tensors().items()}

    def restore(self, read: Callable[[dict[str, Tensor]], None]) -> None:
        """Take up a saved state: ``read`` fills the tensors it is given in place."""
        self._optimizer.restore(lambda _: read(self.tensors()))

    @torch.no_grad()
    def _values(self, groups: Sequence[TrainingGroup]) -> Tensor:
        def passes(max_tokens: int) -> Tensor:
            return torch.cat([self._pass(batch) for batch in micro_batches(groups, max_tokens)])

        return self.micro_batch.within(passes, lambda: None)

    def _backward(self, groups: Sequence[TrainingGroup], num_tokens: int) -> float:
        """Add the micro-batch's share of the update's gradient; returns its share of the loss."""
        sequences, rewards, is_counted = _flat(groups, self.model.device)
        errors = (self._pass(groups) - rewards[sequences]).square() / 2
        loss = (errors * is_counted[sequences]).sum() / num_tokens
        loss.backward()
        return float(loss.detach())

    def _pass(self, groups: Sequence[TrainingGroup]) -> Tensor:
        """(N,) what the critic expects before each completion token is drawn, in fp32."""
        tree = tree_of(groups)
        hidden = self.model.packed_hidden_states(tree, training_context(tree, self.model.device))
        states = hidden.index_select(0, torch.tensor(tree.predictors, device=self.model.device))
        return (states.float() @ self.model.model.score.weight.float().mT)[:, 0]


def _flat(groups: Sequence[TrainingGroup], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Of which completion each token is (N,), and of each completion (S,) the reward and whether it counts."""
    members = [member for group in groups for member in group.members]
    lengths = torch.tensor([len(member.token_ids) for member in members])
    sequences = torch.arange(len(members)).repeat_interleave(lengths)
    rewards = torch.tensor([member.reward for member in members])
    is_counted = torch.tensor([member.is_counted for member in members])
    return sequences.to(device), rewards.to(device), is_counted.to(device)

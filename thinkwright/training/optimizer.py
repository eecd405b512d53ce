"""AdamW or Muon on fp32 master weights, for a model that computes in bf16 (or fp32).

The model's parameters stay in the compute dtype, so sampling and training read the same numbers. Gradients of
micro-batches are summed in fp32, the step is taken on the masters, and the result is rounded back into the model.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from thinkwright.errors import TrainingError


class MasterOptimizer:
    """An optimizer over fp32 copies of a model's parameters."""

    def __init__(
        self, model: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float, use_muon: bool = False
    ) -> None:
        """Muon (Jordan et al., 2024) takes the matrices inside the layers; AdamW all the rest."""
        self._params = [(name, param) for name, param in model.named_parameters() if param.requires_grad]
        self.masters = {name: param.detach().float().clone() for name, param in self._params}
        matrices = [self.masters[n] for n, p in self._params if use_muon and p.ndim == 2 and "layers." in n]
        chosen = {id(matrix) for matrix in matrices}
        others = [master for master in self.masters.values() if id(master) not in chosen]
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay, eps=1e-8)
        ]
        if matrices:
            muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self._optimizers.append(muon)
        for name, param in self._params:
            param.register_post_accumulate_grad_hook(self._accumulator(self.masters[name]))

    @staticmethod
    def _accumulator(master: Tensor) -> Any:
        def accumulate(param: Tensor) -> None:
            assert param.grad is not None
            grad, param.grad = param.grad.float(), None
            master.grad = grad if master.grad is None else master.grad.add_(grad)

        return accumulate

    def gradient_norm(self, loss: float) -> float:
        """L2 norm over all gradients summed so far.

        Raises TrainingError, gradients forgotten and weights untouched, if it or the ``loss`` is not finite.
        """
        grads = [master.grad for master in self.masters.values() if master.grad is not None]
        norm = float(torch.nn.utils.get_total_norm(grads))
        if not math.isfinite(loss + norm):
            self.forget_gradients()
            raise TrainingError(
                f"loss {loss} or gradient norm {norm} is not finite; weights left as they were: start again with a "
                "lower lr"
            )
        return norm

    def forget_gradients(self) -> None:
        """Drop the gradients summed so far."""
        for master in self.masters.values():
            master.grad = None

    def step(self, lr: float, gradient_norm: float, max_grad_norm: float) -> None:
        """Scale gradients down to ``max_grad_norm``, step, round back into the model, forget the gradients."""
        if gradient_norm > max_grad_norm:
            for master in self.masters.values():
                if master.grad is not None:
                    master.grad.mul_(max_grad_norm / gradient_norm)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._write_back()

    @torch.no_grad()
    def _write_back(self) -> None:
        for name, param in self._params:
            param.copy_(self.masters[name])

    def state_dict(self) -> dict[str, Any]:
        """Masters and optimizer state, enough to go on as if never stopped."""
        return {"masters": self.masters, "optimizers": [o.state_dict() for o in self._optimizers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved state; the model's parameters follow the masters."""
        for name, master in self.masters.items():
            master.copy_(state["masters"][name])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self._write_back()

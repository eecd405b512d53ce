"""AdamW or Muon on fp32 master weights, for a model that computes in bf16 (or fp32).

A bf16 model's parameters stay in bf16, so sampling and training read the same numbers: gradients of micro-batches are
summed in fp32, the step is taken on fp32 copies, the masters, and the result is rounded back into the model. Parameters
that are fp32 themselves are their own masters; so are those spread over ranks, of which a rank steps its own part.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from thinkwright.errors import TrainingError

MASTERS = "masters/"
"""What the names of the weights in a checkpoint begin with."""


class MasterOptimizer:
    """An optimizer over a model's parameters in fp32."""

    def __init__(
        self, model: nn.Module, *, lr: float, betas: tuple[float, float], weight_decay: float, use_muon: bool = False
    ) -> None:
        """Muon (Jordan et al., 2024) takes the matrices inside the layers; AdamW all the rest."""
        params = [(name, param) for name, param in model.named_parameters() if param.requires_grad]
        self._rounded = [(name, param) for name, param in params if param.dtype != torch.float32]
        self.masters: dict[str, Tensor] = dict(params)
        for name, param in self._rounded:
            self.masters[name] = master = param.detach().float()
            param.register_post_accumulate_grad_hook(self._accumulator(master))
        matrices = [m for n, m in self.masters.items() if use_muon and m.ndim == 2 and "layers." in n]
        chosen = {id(matrix) for matrix in matrices}
        others = [master for master in self.masters.values() if id(master) not in chosen]
        self._optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(others, lr=lr, betas=betas, weight_decay=weight_decay, eps=1e-8)
        ]
        if matrices:
            muon = torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self._optimizers.append(muon)
        for optimizer in self._optimizers:
            _allocate_state(optimizer)

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
        found = torch.nn.utils.get_total_norm(grads)
        norm = float(found.full_tensor() if isinstance(found, DTensor) else found)
        if not math.isfinite(loss + norm):
            self.forget_gradients()
            raise TrainingError(
                f"loss {loss} or gradient norm {norm} is not finite; weights left as they were: begin another run "
                "with a lower lr"
            )
        return norm

    def forget_gradients(self) -> None:
        """Drop the gradients summed so far."""
        for master in self.masters.values():
            master.grad = None
        for _, param in self._rounded:  # one that memory ran out for before its master could take it
            param.grad = None

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
        for name, param in self._rounded:
            param.copy_(self.masters[name])

    @torch.no_grad()
    def begin_anew(self) -> None:
        """Forget all moments, as if no step had been taken; the weights stay."""
        for optimizer in self._optimizers:
            for state in optimizer.state.values():
                for value in state.values():
                    value.zero_()

    def tensors(self) -> dict[str, Tensor]:
        """Masters and the optimizers' state by name: all that a checkpoint must hold to go on as if never stopped."""
        names = {id(master): name for name, master in self.masters.items()}
        found = {f"{MASTERS}{name}": master.detach() for name, master in self.masters.items()}
        for optimizer in self._optimizers:
            for master, state in optimizer.state.items():
                found |= {f"{key}/{names[id(master)]}": value for key, value in state.items()}
        return found

    def restore(self, read: Callable[[dict[str, Tensor]], None]) -> None:
        """Take up a saved state: ``read`` fills the tensors it is given in place; the model follows the masters."""
        read(self.tensors())
        self._write_back()


def _allocate_state(optimizer: torch.optim.Optimizer) -> None:
    """What the first step would make, made now: so a checkpoint has the same tensors whatever has been stepped yet."""
    for master in optimizer.param_groups[0]["params"]:
        if isinstance(optimizer, torch.optim.Muon):
            optimizer.state[master] = {"momentum_buffer": torch.zeros_like(master)}
        else:
            moments = {name: torch.zeros_like(master) for name in ("exp_avg", "exp_avg_sq")}
            optimizer.state[master] = {"step": torch.zeros(()), **moments}

"""A policy that only samples, on a CPU, made faster: parameters keep their names, shapes and values."""

import ctypes

import torch
from torch import Tensor

from thinkwright.models.paged_kernel import compiled, is_available
from thinkwright.models.policy import Policy


def prepare_for_sampling(policy: Policy) -> None:
    """Lay the weights out for few rows, and normalize by the compiled kernel where there is one."""
    for module in policy.model.modules():
        if isinstance(module, torch.nn.Linear) and module.weight is not policy.head:
            # Column by column: copying them into its own order is much of the library's work (MKL) on a few rows, and
            # takes less in this one. The head is often the embedding, too, and stays.
            module.weight.data = module.weight.data.t().contiguous().t()
    if is_available(policy.device, policy.dtype):
        _replace_norms(policy.model)


class KernelNorm(torch.nn.Module):
    """RMSNorm (arXiv:1910.07467) without gradients, as transformers rounds it: one call in place of six operations."""

    def __init__(self, weight: torch.nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight, self._epsilon = weight, ctypes.c_float(epsilon)

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., E) like ``hidden``."""
        hidden, library = hidden.contiguous(), compiled()
        out = torch.empty_like(hidden)
        assert library is not None, "is_available was asked before"
        assert hidden.dtype == self.weight.dtype, "one dtype for both"
        width, is_bf16 = hidden.shape[-1], hidden.dtype == torch.bfloat16
        pointers = (ctypes.c_void_p * 3)(hidden.data_ptr(), self.weight.data_ptr(), out.data_ptr())
        sizes = (ctypes.c_int64 * 2)(hidden.numel() // width, width)
        library.thinkwright_norm(sizes, pointers, self._epsilon, is_bf16)
        return out


@torch.no_grad()
def _replace_norms(model: torch.nn.Module) -> None:
    """Of every class that is seen to do the same: some scale by 1 + weight, some center first."""
    for parent in list(model.modules()):
        for name, module in list(parent.named_children()):
            weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
            if not (isinstance(weight, torch.nn.Parameter) and isinstance(epsilon, float)):
                continue
            ours = KernelNorm(weight, epsilon)
            probe = torch.linspace(-2, 3, 4 * len(weight), dtype=weight.dtype).view(4, -1)
            if torch.allclose(ours(probe), module(probe), rtol=1e-5 if weight.dtype == torch.float32 else 1e-2):
                setattr(parent, name, ours)

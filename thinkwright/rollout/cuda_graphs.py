"""Decoding steps as CUDA graphs: one launch for the hundreds of small kernels of a step, where they would set the pace.

A graph is bound to the shapes of its step. Sizes are rounded (``running.round_up``), so that shapes repeat; those that
do are recorded at their third use and replayed from then on.
"""

import dataclasses
import logging
from typing import Any

import torch
from torch import Tensor

from thinkwright.models.key_value_store import KeyValueStore
from thinkwright.models.paged_attention import PagedContext, TensorPlan
from thinkwright.models.policy import Policy

RECORD_AT_USE = 3
"""Recording costs a few ordinary steps, so a shape must have shown that it comes again."""
_log = logging.getLogger(__name__)


class GraphedDecoder:
    """Runs decoding steps of one call on one store of keys and values, by graphs where shapes repeat."""

    def __init__(self, policy: Policy, store: KeyValueStore) -> None:
        self._policy, self._store = policy, store
        self._uses: dict[tuple[torch.Size, ...], int] = {}
        self._recorded: dict[tuple[torch.Size, ...], _Recorded] = {}
        self._is_broken = False
        # One pool for all graphs: they run one after the other and their results are copied out at once.
        self._pool = torch.cuda.graph_pool_handle()

    def hidden_states(self, inputs: Tensor, plan: TensorPlan) -> Tensor:
        """Hidden states (B, 1, E) for tokens and positions (2, B, 1)."""
        shapes = tuple(tensor.shape for tensor in _tensors(inputs, plan))
        self._uses[shapes] = self._uses.get(shapes, 0) + 1
        if shapes not in self._recorded and self._uses[shapes] == RECORD_AT_USE and not self._is_broken:
            self._record(shapes, inputs, plan)
        if shapes in self._recorded:
            return self._recorded[shapes].replay(inputs, plan)
        return self._policy.hidden_states(inputs[0], inputs[1], PagedContext(self._store, plan))

    def _record(self, shapes: tuple[torch.Size, ...], inputs: Tensor, plan: TensorPlan) -> None:
        try:
            self._recorded[shapes] = _Recorded(self._policy, self._store, inputs, plan, self._pool)
        except RuntimeError as error:
            self._is_broken = True
            _log.warning("this model's decoding cannot be recorded as a CUDA graph (%s); it runs without", error)


class _Recorded:
    """One recorded step: fixed input tensors, the graph, and where it leaves its result."""

    def __init__(self, policy: Policy, store: KeyValueStore, inputs: Tensor, plan: TensorPlan, pool: Any) -> None:
        self._inputs = inputs.clone()
        fields = {field.name: getattr(plan, field.name).clone() for field in dataclasses.fields(plan)}
        self._plan = TensorPlan(**fields)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool):
            context = PagedContext(store, self._plan)
            self._hidden = policy.hidden_states(self._inputs[0], self._inputs[1], context)

    def replay(self, inputs: Tensor, plan: TensorPlan) -> Tensor:
        for fixed, new in zip(_tensors(self._inputs, self._plan), _tensors(inputs, plan), strict=True):
            fixed.copy_(new)
        self._graph.replay()
        return self._hidden.clone()


def _tensors(inputs: Tensor, plan: TensorPlan) -> list[Tensor]:
    return [inputs, *(getattr(plan, field.name) for field in dataclasses.fields(plan))]

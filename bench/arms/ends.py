"""Makes transformers' ``generate`` end each row where the workload says, and nowhere else."""

import torch
from torch import Tensor


class ForcedEnds:
    """A logits processor: the end token is forbidden before a row's end and the only choice there."""

    def __init__(self, ends: list[int], prompt_width: int, end_id: int) -> None:
        """``ends`` are tokens per row, the end token included; prompts are padded to ``prompt_width``."""
        self._last = torch.tensor(ends) + prompt_width - 1
        self._end_id = end_id

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores (B, V) with the rule applied, in place."""
        scores[:, self._end_id] = -torch.inf
        is_last = self._last == input_ids.shape[1]
        if is_last.any():
            scores[is_last] = -torch.inf
            scores[is_last, self._end_id] = 0.0
        return scores

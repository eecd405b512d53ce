"""Which page belongs to which running completion: the host's side of paged attention, in numpy, without tensors.

Live pages are always the first ``num_pages`` of the pool. When completions leave, the last pages move into the holes.
"""

import numpy as np

from thinkwright.models.key_value_store import PAGE

Indices = np.ndarray


class PageTable:
    """Rows of the running batch, the tokens each has written, and the pages that hold them."""

    def __init__(self, capacity: int) -> None:
        self.lengths = np.zeros(0, dtype=np.int64)
        """Tokens each row has written, (B,)."""
        self._rows = np.zeros(capacity, dtype=np.int64)
        self._columns = np.zeros(capacity, dtype=np.int64)
        self.num_pages = 0

    @property
    def rows(self) -> Indices:
        """The row of each live page."""
        return self._rows[: self.num_pages]

    @property
    def columns(self) -> Indices:
        """The place of each live page among its row's."""
        return self._columns[: self.num_pages]

    def add_rows(self, count: int) -> None:
        """New rows behind the others, without tokens."""
        self.lengths = np.concatenate((self.lengths, np.zeros(count, dtype=np.int64)))

    def write(self) -> Indices:
        """Make room for one more token in every row; returns each row's pages in order, (B, most of any row)."""
        new_rows = np.flatnonzero(self.lengths % PAGE == 0)
        fresh = slice(self.num_pages, self.num_pages + len(new_rows))
        assert fresh.stop <= len(self._rows), "the plan reserves the pages of every row in advance"
        self._rows[fresh], self._columns[fresh] = new_rows, self.lengths[new_rows] // PAGE
        self.num_pages = fresh.stop
        table = np.zeros((len(self.lengths), int(self.columns.max(initial=0)) + 1), dtype=np.int64)
        table[self.rows, self.columns] = np.arange(self.num_pages)
        self.lengths = self.lengths + 1
        return table

    def keep_rows(self, is_kept: Indices) -> tuple[Indices, Indices]:
        """Forget the other rows; returns the pages to be moved and the holes they go to, in the same order."""
        is_live = is_kept[self.rows]
        self.num_pages = int(is_live.sum())
        holes = np.flatnonzero(~is_live[: self.num_pages])
        movers = np.flatnonzero(is_live[self.num_pages :]) + self.num_pages
        self._rows[holes], self._columns[holes] = self._rows[movers], self._columns[movers]
        new_index = np.cumsum(is_kept) - 1
        self._rows[: self.num_pages] = new_index[self.rows]
        self.lengths = self.lengths[is_kept]
        return movers, holes

"""Pages stay dense, and every token keeps its place, whoever leaves."""

import random

import numpy as np

from thinkwright.models.key_value_store import PAGE
from thinkwright.rollout.page_table import PageTable


def test_pages_hold_every_row_s_tokens_in_order_while_rows_come_and_go() -> None:
    rng = random.Random(0)
    table, memory = PageTable(capacity=200), np.full((200, PAGE), -1)
    written: list[list[int]] = []
    next_token = 0
    for _ in range(400):
        if len(written) < 12:
            count = rng.randrange(3)
            table.add_rows(count)
            written += [[] for _ in range(count)]
        if not written:
            continue
        pages = table.write()
        for row, length in enumerate(table.lengths):
            page, offset = pages[row, (length - 1) // PAGE], (length - 1) % PAGE
            memory[page, offset] = next_token
            written[row].append(next_token)
            next_token += 1
        assert table.num_pages == sum(-(-len(tokens) // PAGE) for tokens in written)
        assert [read(table, memory, row) for row in range(len(written))] == written
        is_kept = np.array([rng.random() > 0.02 for _ in written])
        movers, holes = table.keep_rows(is_kept)
        memory[holes] = memory[movers]
        written = [tokens for tokens, kept in zip(written, is_kept, strict=True) if kept]
        assert table.lengths.tolist() == [len(tokens) for tokens in written]


def read(table: PageTable, memory: np.ndarray, row: int) -> list[int]:
    """A row's tokens as its pages hold them."""
    mine = np.flatnonzero(table.rows == row)
    in_order = mine[np.argsort(table.columns[mine])]
    return memory[in_order].ravel()[: table.lengths[row]].tolist()

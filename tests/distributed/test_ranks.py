"""The ranks of a run: they share work out and join it in order, and one that is missing, different or dead is named."""

from pathlib import Path

import pytest

from tests.distributed.rank_work import die, meet, share_and_save, stay_away
from thinkwright.distributed.launch import RankDiedError, run_ranks
from thinkwright.distributed.ranks import SINGLE, Ranks, joined_ranks
from thinkwright.errors import RanksError


def test_work_is_joined_in_its_order_and_saving_never_trips_over_what_the_first_rank_is_writing(tmp_path: Path) -> None:
    assert run_ranks(2, share_and_save, 2, tmp_path / "checkpoints", 40) == ([0, 10, 20, 30, 40], 39)


def test_a_rank_with_another_version_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RanksError, match=r"ended with the error above|lost the others"):
        run_ranks(2, meet, 2, ["1.0", "1.1"])
    assert "has torch 1.1 (rank 0: 1.0); install the same on every node" in capfd.readouterr().err


def test_another_number_of_ranks_than_the_recipes_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RanksError):
        run_ranks(1, meet, 2, ["1.0"])
    assert "the recipe asks for 2 ranks and torchrun started 1" in capfd.readouterr().err


def test_a_rank_that_stands_still_is_named_within_the_deadline(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RankDiedError, match="lost the others"):
        run_ranks(2, stay_away, 2, 3.0)
    told = capfd.readouterr().err
    assert "waited 3 s" in told
    assert "rank 1 is at step 1" in told


def test_a_rank_that_is_killed_is_named() -> None:
    with pytest.raises(RankDiedError, match=r"rank 1 was killed \(SIGKILL\)"):
        run_ranks(2, die, 2)


def test_passes_cover_every_batch_once_and_are_as_many_on_each_rank() -> None:
    for count in range(1, 9):
        passes = [list(Ranks(rank, 3).passes(range(count))) for rank in range(3)]
        assert len({len(found) for found in passes}) == 1
        assert sorted(item for found in passes for item, is_own in found if is_own) == list(range(count))


def test_a_run_of_one_process_needs_no_others() -> None:
    with joined_ranks(1, 1.0, {}) as ranks:
        assert ranks is SINGLE
        assert ranks.joined([3, 1]) == [3, 1]
        assert ranks.any(True)

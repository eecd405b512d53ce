"""Engines in processes of their own: what they sample, weights that change on the way, and their deaths."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from tests.model_folders import write_model_folder
from thinkwright.errors import EndpointError, ModelError
from thinkwright.models.policy import Policy, load_policy
from thinkwright.rollout.engine import RolloutRequest, SamplingSettings
from thinkwright.rollout.fleet.engine import Engine
from thinkwright.rollout.fleet.fleet import EngineFleet
from thinkwright.rollout.fleet.process import ProcessEngine, ProcessSource
from thinkwright.rollout.fleet.worker import EngineStart
from thinkwright.rollout.native import NativeEngine
from thinkwright.training.ahead import token_versions
from thinkwright.types import Rollout

HEAD = tuple(range(5, 45))
REQUESTS = [RolloutRequest(f"p{i}", (*HEAD, *range(50 + i, 60 + i))) for i in range(12)]
SETTINGS = SamplingSettings(group_size=4, max_tokens=40, temperature=1.0, seed=3, step=2, ignore_end=True)
LONG = SamplingSettings(group_size=4, max_tokens=200, temperature=1.0, seed=3, step=2, ignore_end=True)
Group = tuple[Rollout, ...]


@pytest.fixture
def small(model_folder: Callable[[str], Path]) -> Policy:
    return load_policy(str(model_folder("qwen2")), device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture
def folder(model_folder: Callable[[str], Path]) -> Path:
    return model_folder("qwen2")


@contextmanager
def fleet_of(
    policy: Policy, folder: Path, count: int = 1, slots: int = 16, deadline: float = 60
) -> Iterator[EngineFleet]:
    start = EngineStart(str(folder), "cpu", "float32", threads=1, slots=slots, memory_bytes=None, versions={})
    with EngineFleet(policy, ProcessSource([start] * count), count, slots, deadline) as fleet:
        fleet.take_weights(0)
        yield fleet


def ids_of(groups: list[Group]) -> list[list[tuple[int, ...]]]:
    return [[rollout.token_ids for rollout in group] for group in groups]


def change(policy: Policy, factor: float) -> None:
    with torch.no_grad():
        for param in policy.model.parameters():
            param.mul_(factor)


def pid_of(engine: Engine) -> int:
    assert isinstance(engine, ProcessEngine)
    return engine.pid


def kill(engine: Engine) -> None:
    with suppress(ProcessLookupError):  # it may be dead already
        os.kill(pid_of(engine), signal.SIGKILL)


def test_one_process_samples_what_the_trainers_own_engine_does_bit_for_bit(small: Policy, folder: Path) -> None:
    native = NativeEngine(small, slots=16)
    with fleet_of(small, folder) as fleet:
        assert fleet.generate(REQUESTS, SETTINGS) == native.generate(REQUESTS, SETTINGS)
        change(small, 0.8)
        fleet.take_weights(2)
        native.take_weights(2)
        newer = fleet.generate(REQUESTS, SETTINGS)
        assert newer == native.generate(REQUESTS, SETTINGS)
        assert {rollout.policy_version for group in newer for rollout in group} == {2}


def test_a_longer_prompt_or_other_settings_wait_for_their_turn(small: Policy, folder: Path) -> None:
    longer = [RolloutRequest("long", tuple(range(5, 105)))]
    hotter = SamplingSettings(group_size=2, max_tokens=30, temperature=1.5, seed=3, step=2)
    with fleet_of(small, folder) as fleet:
        found: dict[str, list[Group]] = {}
        calls = {"plain": (REQUESTS, SETTINGS), "longer": (longer, SETTINGS), "hotter": (REQUESTS, hotter)}
        threads = [
            threading.Thread(target=lambda name=name, call=call: found.update({name: fleet.generate(*call)}))
            for name, call in calls.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        for name, (requests, settings) in calls.items():
            expected = NativeEngine(small, slots=16).generate(requests, settings)
            assert ids_of(found[name]) == ids_of(expected)


def test_weights_that_come_on_the_way_draw_the_tokens_after_them(small: Policy, folder: Path) -> None:
    # Two at a time, which end at different places: weights that come when one ends meet another under way.
    longer, lengths = replace(LONG, max_tokens=400), (50, 400, 350, 400, 350, 400)
    requests = [replace(one, max_tokens=(length,) * 4) for one, length in zip(REQUESTS, lengths, strict=False)]
    before = NativeEngine(small).generate(requests, longer)
    with fleet_of(small, folder, slots=8) as fleet:
        groups: dict[int, Group] = {}
        for index, group in fleet.stream(requests, longer):
            groups[index] = group
            if len(groups) == 1:
                change(small, 0.8)
                fleet.take_weights(7)
        native = NativeEngine(small)
        native.take_weights(7)
        after = native.generate(requests, longer)
    continued = [(i, m) for i, group in groups.items() for m, r in enumerate(group) if r.version_changes]
    assert continued
    for i, m in continued:
        rollout = groups[i][m]
        ((index, version),) = rollout.version_changes
        if index == 1:
            continue  # begun by new weights after a prompt that old ones had read
        assert (rollout.policy_version, version) == (0, 7)
        assert token_versions(rollout) == [0] * index + [7] * (len(rollout.token_ids) - index)
        assert rollout.token_ids[:index] == before[i][m].token_ids[:index]
        assert rollout.token_ids != before[i][m].token_ids
    begun_later = [(i, m) for i, group in groups.items() for m, r in enumerate(group) if r.policy_version == 7]
    assert begun_later
    assert all(groups[i][m].token_ids == after[i][m].token_ids for i, m in begun_later)


def test_engines_killed_at_random_change_nothing_and_lose_nothing(small: Policy, folder: Path) -> None:
    expected = NativeEngine(small).generate(REQUESTS, LONG)
    with fleet_of(small, folder, count=2, slots=8) as fleet:
        found: list[int] = []
        groups: dict[int, Group] = {}
        killed: set[int] = set()
        for index, group in fleet.stream(REQUESTS, LONG):
            found.append(index)
            groups[index] = group
            if len(found) in (1, 4) and (engines := fleet.engines()):
                killed.add(pid_of(engines[0]))
                kill(engines[0])
        assert sorted(found) == list(range(len(REQUESTS)))
        assert [groups[i] for i in range(len(REQUESTS))] == expected
        deadline = time.monotonic() + 10
        while fleet.num_replaced < len(killed) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert fleet.num_replaced == len(killed) > 0


def test_an_engine_that_hangs_is_replaced(small: Policy, folder: Path) -> None:
    with fleet_of(small, folder, deadline=2) as fleet:
        os.kill(pid_of(fleet.engines()[0]), signal.SIGSTOP)
        groups = fleet.generate(REQUESTS, SETTINGS)
        assert groups == NativeEngine(small).generate(REQUESTS, SETTINGS)
        assert fleet.num_replaced == 1


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({}, r"ended with status -9; it was the 4th time"),
        (
            {"MAX_DEATHS": 99, "MAX_DEATHS_OVER_GROUP": 2},
            r"2 engines died while they sampled prompt p0; the last: engine",
        ),
    ],
)
def test_engines_that_never_come_to_anything_end_the_call(
    limits: dict[str, int], told: str, small: Policy, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, limit in limits.items():
        monkeypatch.setattr(f"thinkwright.rollout.fleet.fleet.{name}", limit)
    with fleet_of(small, folder) as fleet:

        def kill_all_that_come() -> None:
            while not done.wait(0.02):
                for engine in fleet.engines():
                    kill(engine)

        done = threading.Event()
        killer = threading.Thread(target=kill_all_that_come)
        killer.start()
        try:
            with pytest.raises(EndpointError, match=told):
                fleet.generate(REQUESTS[:1], LONG)
        finally:
            done.set()
            killer.join()


def test_a_standing_engine_is_found_whatever_waits_for_it(small: Policy, folder: Path) -> None:
    """More than a pipe holds, to an engine that takes nothing from it."""
    settings = SamplingSettings(group_size=1, max_tokens=2, temperature=1.0, seed=3, step=2)
    many = [RolloutRequest(f"p{i}" * 300, (*HEAD, 50 + i)) for i in range(300)]
    with fleet_of(small, folder, slots=300, deadline=4) as fleet:
        os.kill(pid_of(fleet.engines()[0]), signal.SIGSTOP)
        assert len(fleet.generate(many, settings)) == 300
        assert fleet.num_replaced == 1


def test_a_model_of_many_weights_reaches_its_engine(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path, "qwen2", num_hidden_layers=14)
    policy = load_policy(str(folder), device=torch.device("cpu"), dtype=torch.float32)
    with fleet_of(policy, folder) as fleet:
        change(policy, 0.9)
        fleet.take_weights(1)
        native = NativeEngine(policy)
        native.take_weights(1)
        assert fleet.generate(REQUESTS[:2], SETTINGS) == native.generate(REQUESTS[:2], SETTINGS)


def test_nothing_is_left_behind(small: Policy, folder: Path) -> None:
    with fleet_of(small, folder, count=2) as fleet:
        fleet.generate(REQUESTS, SETTINGS)
        numbers = [pid_of(engine) for engine in fleet.engines()]
    deadline = time.monotonic() + 10
    while any(map(psutil.pid_exists, numbers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(psutil.pid_exists, numbers))


def test_a_model_that_is_not_there_is_named(small: Policy, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nowhere"), fleet_of(small, tmp_path / "nowhere"):
        pass


def test_memory_that_holds_no_completion_is_refused(small: Policy, folder: Path) -> None:
    start = EngineStart(str(folder), "cpu", "float32", threads=1, slots=4, memory_bytes=1000, versions={})
    with EngineFleet(small, ProcessSource([start]), 1, 4, 60) as fleet:
        fleet.take_weights(0)
        with pytest.raises(ModelError, match="sampling needs"):
            fleet.generate(REQUESTS, SETTINGS)


def test_an_engine_with_other_packages_is_refused(small: Policy, folder: Path) -> None:
    versions = {"torch": "0.1"}
    start = EngineStart(str(folder), "cpu", "float32", threads=1, slots=4, memory_bytes=None, versions=versions)
    with (
        pytest.raises(ModelError, match=r"an engine on .* has torch .* \(the trainer: 0.1\)"),
        EngineFleet(small, ProcessSource([start]), 1, 4, 60) as fleet,
    ):
        fleet.take_weights(0)

"""The vLLM backend against what a real vLLM server said, and (slow) against a real one."""

import asyncio
import json
import logging
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from tests.serving.engines.recorded_vllm import PROMPT_IDS, RECORDING, RecordedVllm, recorded_ids, recorded_vllm
from thinkwright.config.serving import ServeSettings, ServingEngine
from thinkwright.errors import EndpointError, ModelError, ThinkwrightError
from thinkwright.models.shipped import SHIPPED
from thinkwright.rollout.engine import ThinkingBudget
from thinkwright.rollout.live_batch import LiveSettings, LiveToken
from thinkwright.serving.ask import BackendError, BadRequest, Overloaded
from thinkwright.serving.engines.backend import Piece
from thinkwright.serving.engines.vllm_backend import VllmBackend
from thinkwright.serving.models import close_desks, open_desks
from thinkwright.serving.prompter import Prompter
from thinkwright.web import address_of, listen

WHOLE = recorded_ids(RECORDING["whole"])
FORCED, BUDGET = tuple(RECORDING["forced"]), RECORDING["budget"]
GPU = 'vllm:cache_config_info{block_size="16",kv_cache_memory_bytes="None",user_specified_block_size="False"} 1.0'
SETTINGS = LiveSettings(max_tokens=200, seed=3, temperature=0)

ROOT = Path(__file__).parents[3]
VLLM = ROOT / ".venv-bench-vllm" / "bin" / "python"
Test = Callable[[VllmBackend, RecordedVllm], Awaitable[None]]


@pytest.fixture(scope="module")
def prompter() -> Prompter:
    """The shipped model's: the recorded one was trained from it and has its tokens."""
    found = Prompter(AutoTokenizer.from_pretrained(SHIPPED["tiny-base"]), "r1_zero")
    found.end_ids = frozenset([int(found.tokenizer.eos_token_id)])
    return found


def run(prompter: Prompter, test: Test, settings: ServingEngine | None = None, **server: Any) -> None:
    """A test with a started backend before the recorded server; ``server`` are fields of that."""

    async def main() -> None:
        async with recorded_vllm(prompter.encode) as vllm:
            for name, value in server.items():
                setattr(vllm, name, value)
            backend = VllmBackend(f"{vllm.address}#demo", settings or ServingEngine(), prompter)
            await backend.start()
            try:
                await asyncio.wait_for(test(backend, vllm), 20)
            finally:
                await backend.close()

    asyncio.run(main())


async def pieces_of(backend: VllmBackend, settings: LiveSettings = SETTINGS, name: str = "choice/0") -> list[Piece]:
    return [piece async for piece in backend.generate(PROMPT_IDS, settings, name)]


def tokens_of(pieces: list[Piece]) -> list[LiveToken]:
    return [token for piece in pieces for token in piece.tokens]


def ids_of(pieces: list[Piece]) -> list[int]:
    return [token.token_id for token in tokens_of(pieces)]


def budgeted(budget: int, max_tokens: int = 200, start: str = "") -> LiveSettings:
    return LiveSettings(max_tokens, 3, temperature=0, thinking_budget=ThinkingBudget(budget, "</think>", FORCED, start))


def test_limits_are_those_of_vllms_context(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        assert (backend.context, backend.max_tokens, backend.max_prompt_tokens) == (1024, 512, 512)

    run(prompter, test)


def test_tokens_come_as_vllm_sends_them(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        pieces = await pieces_of(backend)
        assert ids_of(pieces) == WHOLE
        assert [piece.end for piece in pieces] == [None] * (len(pieces) - 1) + ["stop"]
        assert tokens_of(pieces)[0] == LiveToken(WHOLE[0], -0.0031863891053944826, ())
        body = vllm.bodies[0]
        assert body["prompt"] == list(PROMPT_IDS)
        assert body["stop_token_ids"] == [0]
        assert body["logprobs"] == 0

    run(prompter, test)


def test_what_comes_at_once_is_one_piece(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        pieces = await pieces_of(backend)
        assert len(pieces) == 3
        assert ids_of(pieces) == WHOLE
        assert pieces[-1].end == "stop"

    run(prompter, test, together=8)


def test_alternatives_are_those_asked_for(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        first = tokens_of(await pieces_of(backend, LiveSettings(200, 3, temperature=0, num_alternatives=1)))[0]
        assert first.alternatives == ((WHOLE[0], first.logprob),)
        assert vllm.bodies[0]["logprobs"] == 1

    run(prompter, test)


@pytest.mark.parametrize("together", [1, 4])
def test_a_thought_past_its_budget_is_ended(prompter: Prompter, together: int) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        pieces = await pieces_of(backend, budgeted(BUDGET))
        assert ids_of(pieces) == [*WHOLE[:BUDGET], *FORCED, *recorded_ids(RECORDING["after_budget"])]
        assert pieces[-1].end == "stop"
        second = vllm.bodies[1]
        assert second["prompt"] == [*PROMPT_IDS, *WHOLE[:BUDGET], *FORCED]
        assert second["max_tokens"] == 200 - BUDGET - len(FORCED)

    run(prompter, test, together=together)


@pytest.mark.parametrize("settings", [budgeted(len(WHOLE) - 3), budgeted(BUDGET, start="<answer>"), budgeted(150)])
def test_a_thought_that_is_over_or_never_began_is_left_alone(prompter: Prompter, settings: LiveSettings) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        assert ids_of(await pieces_of(backend, settings)) == WHOLE
        assert len(vllm.bodies) == 1

    run(prompter, test)


def test_forced_tokens_stop_at_the_limit(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        pieces = await pieces_of(backend, budgeted(BUDGET, max_tokens=BUDGET + 2))
        assert ids_of(pieces) == [*WHOLE[:BUDGET], *FORCED[:2]]
        assert pieces[-1].end == "length"
        assert len(vllm.bodies) == 1

    run(prompter, test)


def test_seeds_differ_by_choice_where_vllm_heeds_them(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        drawn = LiveSettings(200, 3)
        for settings, name in ((drawn, "choice/0"), (drawn, "choice/1"), (drawn, "choice/0"), (SETTINGS, "choice/0")):
            await pieces_of(backend, settings, name)
        seeds = [body.get("seed") for body in vllm.bodies]
        assert seeds[0] == seeds[2] != seeds[1]
        assert seeds[3] is None

    run(prompter, test, metrics=GPU)


@pytest.mark.parametrize(
    "server",
    [{}, {"metrics": ""}, {"metrics": GPU, "seed_tokens": [[5, 6], [5, 7]]}],
    ids=["cpu", "unknown", "unheeded"],
)
def test_no_seed_is_sent_where_it_could_harm_or_is_not_heeded(
    prompter: Prompter, server: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        await pieces_of(backend, LiveSettings(200, 3))
        assert "seed" not in vllm.bodies[0]

    with caplog.at_level(logging.WARNING):
        run(prompter, test, **server)
    assert "whatever seed a client asks for" in caplog.text


def test_a_reader_who_leaves_closes_the_stream(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        async with aclosing(backend.generate(PROMPT_IDS, SETTINGS, "choice/0")) as pieces:
            async for _ in pieces:
                assert backend.load().num_running == 1
                break
        async with asyncio.timeout(5):
            while not vllm.num_left:
                await asyncio.sleep(0.01)
        assert (backend.load().num_running, backend.load().num_waiting) == (0, 0)

    run(prompter, test, waits_after=3)


def test_one_too_many_is_refused(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        tasks = [asyncio.create_task(pieces_of(backend)) for _ in range(2)]
        async with asyncio.timeout(5):
            while len(vllm.bodies) < 2:
                await asyncio.sleep(0.01)
        assert backend.load().num_waiting == 2
        with pytest.raises(Overloaded):
            await pieces_of(backend)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert backend.load().num_waiting == 0

    run(prompter, test, ServingEngine(slots=1, queue=1), waits_after=0)


def test_a_reply_past_its_deadline_is_ended(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        with pytest.raises(BackendError, match=r"over 0\.2 s"):
            await pieces_of(backend)

    run(prompter, test, ServingEngine(deadline_seconds=0.2), waits_after=3)


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ({"num_events": 3}, "failed|broke a reply off"),
        ({"error_event": 'data: {"error":{"message":"EngineCore encountered an issue.","code":500}}'}, "EngineCore"),
        ({"error_event": 'data: {"choices": [{"in'}, "cannot be read .*choices"),
        ({"error_event": 'data: {"choices": [{"text": "a", "finish_reason": null}]}'}, "start a newer one"),
        ({"status": 503}, "status 503"),
        ({"status": 401}, "VLLM_API_KEY"),
    ],
)
def test_what_fails_in_vllm_is_said(prompter: Prompter, server: dict[str, Any], said: str) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        with pytest.raises(BackendError, match=said):
            await pieces_of(backend)
        assert backend.load().num_waiting == backend.load().num_running == 0

    run(prompter, test, **server)


def test_a_refusal_is_the_clients_matter(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        with pytest.raises(BadRequest, match="max_tokens=5000 cannot be greater"):
            await pieces_of(backend)

    run(prompter, test, status=400)


def test_weights_are_vllms_own_matter(prompter: Prompter) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        with pytest.raises(BackendError, match="start vLLM again"):
            await backend.reload()

    run(prompter, test)


def test_a_server_that_is_gone_is_down(prompter: Prompter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkwright.serving.engines.vllm_backend.HEALTH_SECONDS", 0.05)

    async def main() -> None:
        async with recorded_vllm(prompter.encode) as vllm:
            backend = VllmBackend(f"{vllm.address}#demo", ServingEngine(), prompter)
            await backend.start()
            assert backend.load().is_up
            vllm.health_status = 503
            async with asyncio.timeout(5):
                while backend.load().is_up:
                    await asyncio.sleep(0.01)
            await backend.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("address", "error", "said"),
    [
        ("URL", ModelError, "write URL#NAME"),
        ("URL#other", EndpointError, "serves no other, but demo"),
        ("http://127.0.0.1:9#demo", EndpointError, "vllm serve"),
    ],
)
def test_a_wrong_address_is_said_at_the_start(prompter: Prompter, address: str, error: type, said: str) -> None:
    async def main() -> None:
        async with recorded_vllm(prompter.encode) as vllm:
            await VllmBackend(address.replace("URL", vllm.address), ServingEngine(), prompter).start()

    with pytest.raises(error, match=said):
        asyncio.run(main())


def test_another_tokenizer_is_refused(prompter: Prompter) -> None:
    async def main() -> None:
        async with recorded_vllm(lambda text: list(text.encode())) as vllm:
            await VllmBackend(f"{vllm.address}#demo", ServingEngine(), prompter).start()

    with pytest.raises(ModelError, match="not that of the model given here"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "settings", "said"),
    [
        ({"knows_token_ids": False}, {}, "start a newer vLLM"),
        ({}, {"max_tokens": 1024}, "--max-tokens 1024 leaves no room .* lower it to 1023"),
        ({}, {"max_prompt_tokens": 5000}, "--max-prompt-tokens 5000 leaves no room"),
    ],
)
def test_what_could_never_answer_is_refused_at_the_start(
    prompter: Prompter, server: dict[str, Any], settings: dict[str, int], said: str
) -> None:
    async def test(backend: VllmBackend, vllm: RecordedVllm) -> None:
        raise AssertionError("it started")

    with pytest.raises(ThinkwrightError, match=said):
        run(prompter, test, ServingEngine(**settings), **server)


def test_a_tokenizer_without_an_end_token_leaves_those_of_the_generation_config(
    prompter: Prompter, tmp_path: Path
) -> None:
    folder = tmp_path / "endless"
    shutil.copytree(SHIPPED["tiny-base"], folder)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer | {"eos_token": None}), encoding="utf-8")
    (folder / "generation_config.json").write_text('{"eos_token_id": [0, 2]}', encoding="utf-8")

    async def main() -> None:
        async with recorded_vllm(prompter.encode) as vllm:
            settings = ServeSettings((str(folder),), template="r1_zero", vllm=f"{vllm.address}#demo")
            desks = await open_desks(settings)
            assert [piece async for piece in desks["endless"].backend.generate(PROMPT_IDS, SETTINGS, "choice/0")]
            assert vllm.bodies[0]["stop_token_ids"] == [0, 2]
            await close_desks(desks)

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.skipif(not VLLM.exists(), reason="vLLM is not here: make bench-envs")
def test_a_real_vllm_server(prompter: Prompter, tmp_path: Path) -> None:
    """Many at once, among them choices that need two requests; none is mixed up, and who leaves frees the server."""
    listener = listen("127.0.0.1", 0)
    address = address_of(listener)
    listener.close()
    command = [str(VLLM), "-m", "vllm.entrypoints.openai.api_server", "--model", str(SHIPPED["tiny-base"])]
    command += ["--served-model-name", "base", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    variables = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_CACHE_ROOT": str(tmp_path / "cache")}
    with (tmp_path / "vllm.log").open("w") as log:
        server = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=log, cwd=tmp_path)
    try:
        asyncio.run(_check_real(address, prompter, server))
    finally:
        server.terminate()
        server.wait(60)


async def _check_real(address: str, prompter: Prompter, server: subprocess.Popen[bytes]) -> None:
    backend = VllmBackend(f"{address}#base", ServingEngine(), prompter)
    deadline = time.monotonic() + 400
    while True:
        try:
            await backend.start()
            break
        except EndpointError:
            assert server.poll() is None, "vLLM ended"
            assert time.monotonic() < deadline, "vLLM did not start"
            await asyncio.sleep(2)
    prompts = [prompter.encode(f"What is {i} + {i}?") for i in range(12)]
    settings = [budgeted(8, max_tokens=24) if i % 2 else LiveSettings(24, i, temperature=0) for i in range(12)]

    async def ask(i: int) -> list[int]:
        pieces = [piece async for piece in backend.generate(prompts[i], settings[i], "choice/0")]
        assert pieces[-1].end in ("stop", "length")
        return ids_of(pieces)

    alone = [await ask(i) for i in range(12)]
    assert await asyncio.gather(*(ask(i) for i in range(12))) == alone
    for ids in alone[1::2]:
        assert len(ids) < 8 or "</think>" in prompter.tokenizer.decode(ids)
    long = LiveSettings(400, 0, ignore_end=True)
    async with aclosing(backend.generate(prompts[0], long, "choice/0")) as pieces:
        await anext(pieces)
    assert backend.load().num_running == 0
    await backend.close()

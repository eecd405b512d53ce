"""A vLLM server as a backend: token ids go to its ``/v1/completions``, token ids come back (``vllm_reply.py``).

Prompts, thoughts and end tokens stay our matter, so that vLLM needs neither a chat template nor a reasoning parser.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any, cast

import httpx2

from thinkwright.config.serving import ServingEngine
from thinkwright.errors import EndpointError, ModelError
from thinkwright.rollout.live_batch import LiveSettings
from thinkwright.serving.ask import BackendError, BadRequest, DeadlinePassed, Overloaded
from thinkwright.serving.engines.backend import MAX_SLOTS, Load, Piece, planned_lengths
from thinkwright.serving.engines.vllm_reply import VllmReply, choices_of
from thinkwright.serving.prompter import Prompter

_log = logging.getLogger(__name__)
KEY_VARIABLE = "VLLM_API_KEY"
"""As vLLM itself calls the key that clients must send it."""
HEALTH_SECONDS = 5.0
"""Between two looks whether the server is there."""
_CONNECT_SECONDS, _PROBE_SECONDS = 10.0, 60.0
_SAMPLE = "<think>12 + 7 = 19</think> 一步一步来"
_SEED_BITS, _SEED_TOKENS = 63, 16
_CACHE = re.compile(r"vllm:cache_config_info\{.*\}")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class VllmBackend:
    """See ``Backend``. vLLM queues what its batch does not hold; ``slots`` + ``queue`` requests are sent, at most."""

    context = max_prompt_tokens = max_tokens = 0

    def __init__(self, address: str, settings: ServingEngine, prompter: Prompter) -> None:
        """``address``: ``URL#NAME``. ``prompter``: of the same model. Raises ModelError for another address."""
        url, _, self._name = address.partition("#")
        if not url.startswith(("http://", "https://")) or not self._name:
            raise ModelError(f"--vllm {address}: write URL#NAME, such as http://127.0.0.1:8001#my-model")
        self._url = url.rstrip("/").removesuffix("/v1")
        self._settings, self._prompter = settings, prompter
        self._client: httpx2.AsyncClient
        self._takes_seeds = False
        self._num_open = self._num_running = 0
        self._is_up = False
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """See ``Backend``."""
        key = os.environ.get(KEY_VARIABLE)
        self._client = httpx2.AsyncClient(
            base_url=self._url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(_PROBE_SECONDS, connect=_CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=None),
            trust_env=False,
        )
        try:
            await self._learn()
        except BaseException:
            await self._client.aclose()
            raise
        self._is_up = True
        self._watching = asyncio.create_task(self._watch())

    def load(self) -> Load:
        """See ``Backend``; the version is vLLM's name of the model, it tells no other."""
        return Load(self._num_running, self._num_open - self._num_running, self._is_up, self._name)

    async def generate(self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str) -> AsyncGenerator[Piece]:
        """See ``Backend``."""
        slots = self._settings.slots or MAX_SLOTS
        if self._num_open >= slots + self._settings.queue:
            raise Overloaded(1 + self._num_open // slots)
        reply = VllmReply(settings, self._prompter.tokenizer)
        deadline = asyncio.get_running_loop().time() + self._settings.deadline_seconds
        is_running = False
        self._num_open += 1
        try:
            while reply.end is None:
                async with aclosing(self._request(prompt_ids, settings, name, reply, deadline)) as pieces:
                    async for piece in pieces:
                        self._num_running += not is_running
                        is_running = True
                        yield piece
        finally:
            self._num_open -= 1
            self._num_running -= is_running

    async def reload(self) -> str:
        """See ``Backend``."""
        raise BackendError(f"{self._url} keeps its own weights; start vLLM again with the newer ones")

    async def close(self) -> None:
        """See ``Backend``."""
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
        await self._client.aclose()

    async def _request(
        self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str, reply: VllmReply, deadline: float
    ) -> AsyncGenerator[Piece]:
        """One request for the rest of a reply. Closing its connection, at the latest here, makes vLLM end it."""
        body = self._body(prompt_ids, settings, name, reply.token_ids)
        request = self._client.build_request(
            "POST", "/v1/completions", json=body, timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS)
        )
        response: httpx2.Response | None = None
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._client.send(request, stream=True)
                await self._check(response)
            data, rest = response.aiter_bytes(), b""
            while not reply.is_interrupted:
                async with asyncio.timeout_at(deadline):
                    *events, rest = (rest + await anext(data)).split(b"\n\n")
                if piece := reply.read(choices_of(events)):
                    yield piece
                if reply.end is not None:
                    return
            yield reply.go_on()
        except StopAsyncIteration:
            raise BackendError(f"{self._url} broke a reply off; see vLLM's log") from None
        except TimeoutError:
            limit = f"{self._settings.deadline_seconds:g} s (--deadline)"
            raise DeadlinePassed(f"the reply took over {limit} and was ended") from None
        except httpx2.HTTPError as error:
            raise BackendError(f"{self._url} failed: {_said(error)}") from error
        finally:
            if response is not None:
                await response.aclose()

    def _body(
        self, prompt_ids: tuple[int, ...], settings: LiveSettings, name: str, so_far: list[int]
    ) -> dict[str, Any]:
        is_drawn, ends = settings.temperature > 0, sorted(self._prompter.end_ids)
        return {
            "model": self._name,
            "prompt": [*prompt_ids, *so_far],
            "max_tokens": settings.max_tokens - len(so_far),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
            "min_p": settings.min_p,
            # 0: that of the token itself and no other's.
            "logprobs": settings.num_alternatives,
            "return_tokens_as_token_ids": True,
            "return_token_ids": True,
            "skip_special_tokens": False,
            "stream": True,
            **({"ignore_eos": True} if settings.ignore_end else {"stop_token_ids": ends}),
            **({"seed": _seed(settings.seed, name, len(so_far))} if is_drawn and self._takes_seeds else {}),
        }

    async def _check(self, response: httpx2.Response) -> None:
        if response.status_code == 200:
            return
        await response.aread()
        message = _message(response)
        if response.status_code in (401, 403):
            raise BackendError(f"{self._url} wants another key ({message}); put it into {KEY_VARIABLE}")
        if response.status_code in (400, 422):
            raise BadRequest(f"vLLM refuses the request: {message}")
        raise BackendError(f"{self._url} answers with status {response.status_code}: {message}")

    async def _learn(self) -> None:
        """The model's context, that its tokens are ours, and whether it takes seeds."""
        self.context = await self._find_context()
        self.max_prompt_tokens, self.max_tokens = planned_lengths(self._settings, self.context)
        await self._check_tokens()
        self._takes_seeds = await self._probe_seed()
        if not self._takes_seeds:
            _log.warning(
                "%s may be vLLM's CPU build, which seeds can end, or does not heed them; none is sent: replies differ "
                "from time to time, whatever seed a client asks for",
                self._url,
            )

    async def _find_context(self) -> int:
        try:
            response = await self._client.get("/v1/models")
        except httpx2.HTTPError as error:
            raise EndpointError(
                f"{self._url} cannot be reached ({_said(error)}); start it with "
                f"`vllm serve FOLDER --served-model-name {self._name}`, or mend the address of --vllm"
            ) from error
        if response.status_code != 200:
            raise EndpointError(
                f"{self._url}/v1/models answers with status {response.status_code} ({_message(response)}); is it a "
                f"vLLM server, and is its key in {KEY_VARIABLE}?"
            )
        try:
            found = {str(row["id"]): row.get("max_model_len") for row in response.json()["data"]}
        except (ValueError, KeyError, TypeError) as error:
            raise EndpointError(f"{self._url}/v1/models lists no models; is it a vLLM server?") from error
        context = found.get(self._name)
        if not isinstance(context, int):
            raise EndpointError(f"{self._url} serves no {self._name}, but {', '.join(found)}; write URL#NAME with one")
        return context

    async def _check_tokens(self) -> None:
        """Other tokens than ours would be another text to each side."""
        body = {"model": self._name, "prompt": _SAMPLE, "add_special_tokens": False}
        response = await self._post("/tokenize", body)
        # What answers, but not as vLLM does, is found out by what is asked next.
        tokens = _json(response).get("tokens")
        if response.status_code == 200 and tokens is not None and tokens != list(self._prompter.encode(_SAMPLE)):
            raise ModelError(
                f"{self._url}: the tokenizer of {self._name} is not that of the model given here; give the model "
                "folder that vLLM has loaded"
            )

    async def _probe_seed(self) -> bool:
        """Whether seeds can be sent, and the same one brings the same tokens."""
        body = {"model": self._name, "prompt": list(self._prompter.encode(_SAMPLE)), "temperature": 1.0}
        body |= {"max_tokens": _SEED_TOKENS, "ignore_eos": True, "return_token_ids": True}
        plain = await self._post("/v1/completions", body)
        if plain.status_code != 200:
            raise EndpointError(f"{self._url} does not complete a prompt: {_message(plain)}; see vLLM's log")
        self._drawn(plain)
        if await self._may_be_cpu_build():
            return False
        seeded = [await self._post("/v1/completions", body | {"seed": 1}) for _ in range(2)]
        if any(response.status_code != 200 for response in seeded):
            return False
        first, second = map(self._drawn, seeded)
        return first == second

    def _drawn(self, response: httpx2.Response) -> list[int]:
        try:
            return _json(response)["choices"][0]["token_ids"]
        except (KeyError, IndexError, TypeError) as error:
            raise EndpointError(
                f"{self._url} gives no token ids with its completions; start a newer vLLM, one that knows "
                "return_token_ids"
            ) from error

    async def _may_be_cpu_build(self) -> bool:
        """In vLLM's CPU build (0.32) a request with a seed ends the engine when its prompt is read in two steps.

        "CPU Generator does not use offset" is the error. Nothing names the build, but its cache is told apart: its size
        is given in bytes, or its blocks hold 128 tokens. In doubt it is one.
        """
        response = await self._client.get("/metrics")
        found = _CACHE.search(response.text)
        cache = dict(_LABEL.findall(found[0])) if found else {}
        is_like_gpu = cache.get("kv_cache_memory_bytes") == "None" and cache.get("user_specified_block_size") == "False"
        return not is_like_gpu or cache.get("block_size") == "128"

    async def _post(self, path: str, body: dict[str, Any]) -> httpx2.Response:
        try:
            return await self._client.post(path, json=body)
        except httpx2.HTTPError as error:
            raise EndpointError(f"{self._url}{path} failed ({_said(error)}); see vLLM's log") from error

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(HEALTH_SECONDS)
            try:
                is_up = (await self._client.get("/health")).status_code == 200
            except httpx2.HTTPError:
                is_up = False
            if is_up != self._is_up:
                _log.warning("%s is %s", self._url, "back" if is_up else "down")
            self._is_up = is_up


def _seed(seed: int, name: str, num_before: int) -> int:
    """Another one for each choice, and for what follows a thought that was ended."""
    digest = hashlib.sha256(f"{seed}/{name}/{num_before}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - _SEED_BITS)


def _json(response: httpx2.Response) -> dict[str, Any]:
    """Empty for an answer that is none."""
    try:
        found: Any = response.json()
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _message(response: httpx2.Response) -> str:
    """What an answer that is an error says."""
    with suppress(json.JSONDecodeError, KeyError, TypeError):
        return str(response.json()["error"]["message"])
    return response.text[:300]

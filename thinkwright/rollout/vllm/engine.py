"""The vLLM engine: token ids go to the servers, token ids and log-probabilities come back.

A server that dies is started again with the newest weights, and what it had not finished is asked for once more. Draws
are vLLM's own and not derived from our seed, so a resumed run goes on with other samples than an uninterrupted one.
"""

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.rollout.memory import check_lengths
from thinkwright.rollout.vllm.reply import rollouts_of
from thinkwright.rollout.vllm.server import NAME, VLLMServer
from thinkwright.rollout.vllm.weights import write_weights
from thinkwright.types import Rollout

MAX_RESTARTS = 3
"""Of one server within one call; then something is wrong with it."""
_Item = tuple[int, tuple[Rollout, ...]]


class VLLMEngine(RolloutEngine):
    """Samples from the policy by servers. Use as a context manager, so that servers and weights are cleared away."""

    def __init__(self, policy: Policy, servers: Sequence[VLLMServer], place: Path, request_seconds: float) -> None:
        """``place``: an empty folder for weights that all servers can read."""
        self._policy, self._servers, self._place = policy, servers, place
        self._seconds = request_seconds
        self._version, self._is_closed = -1, False
        self._newest = place
        """The folder of the newest weights."""

    def __enter__(self) -> "VLLMEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True  # threads that still ask must not start servers again
        for server in self._servers:
            server.stop()
        shutil.rmtree(self._place, ignore_errors=True)

    def take_weights(self, policy_version: int) -> None:
        """See ``RolloutEngine``. Without servers, on all ranks but the first, there is nothing to do."""
        if policy_version == self._version:
            return
        is_first, self._version = self._version < 0, policy_version
        if not self._servers:
            return
        folder = self._folder(policy_version)
        write_weights(self._policy, folder)
        self._newest = folder
        if is_first:
            for server in self._servers:
                server.start(folder)
            for server in self._servers:
                server.wait()
        for server in self._servers:
            self._push(server)
        for old in self._place.iterdir():
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)

    def stream(
        self, requests: Sequence[RolloutRequest], settings: SamplingSettings, policy_version: int
    ) -> Iterator[_Item]:
        """See ``RolloutEngine``; raises EndpointError if a server cannot be brought back."""
        if not requests:
            return
        assert settings.thinking_budget is None, "budgets are for the native engine"
        assert not settings.stop, "stop texts are for the native engine"
        assert policy_version <= self._version, "weights are pushed before they are sampled from"
        check_lengths(self._policy, requests, settings)
        done: SimpleQueue[_Item | Exception] = SimpleQueue()
        count = len(self._servers)
        for i, server in enumerate(self._servers):
            share = dict(list(enumerate(requests))[i::count])
            args = server, share, settings, policy_version, done
            threading.Thread(target=self._serve, args=args, daemon=True).start()
        for _ in requests:
            found = done.get()
            if isinstance(found, Exception):
                raise found
            yield found

    def _serve(
        self,
        server: VLLMServer,
        left: dict[int, RolloutRequest],
        settings: SamplingSettings,
        oldest: int,
        done: SimpleQueue[_Item | Exception],
    ) -> None:
        """Have a server complete its share, whatever happens to it in between."""
        restarts = 0
        while left:
            num_starts = server.num_starts
            try:
                for index, rollouts in self._ask(server, left, settings, oldest):
                    del left[index]
                    done.put((index, rollouts))
            except EndpointError as error:
                restarts += 1
                if restarts > MAX_RESTARTS or not server.is_ours() or self._is_closed:
                    done.put(EndpointError(f"{error}; {server.where_to_look()}"))
                    return
                try:
                    self._revive(server, num_starts)
                except Exception as failure:  # raised again where groups are taken
                    done.put(failure)
                    return
            except Exception as error:  # raised again where groups are taken
                done.put(error)
                return

    def _ask(
        self, server: VLLMServer, left: dict[int, RolloutRequest], settings: SamplingSettings, oldest: int
    ) -> Iterator[_Item]:
        """Groups as the server completes them, by weights of this version or newer."""
        numbers = list(left)
        bodies = [self._body(left[number], settings) for number in numbers]
        endpoint = Endpoint(
            url=f"{server.url}/inference/v1",
            name=NAME,
            timeout_seconds=self._seconds,
            retries=0,
            concurrency=len(bodies),
        )
        with ServedModel(endpoint) as model, closing(model.post_each("generate", bodies)) as answers:
            for i, answer in answers:
                request = left[numbers[i]]
                versions = range(oldest, self._version + 1)
                yield numbers[i], rollouts_of(answer, server.url, self._policy, request, settings, versions)

    def _body(self, request: RolloutRequest, settings: SamplingSettings) -> dict[str, Any]:
        params = {
            "n": settings.group_size,
            "max_tokens": settings.max_tokens - len(request.forced_start),
            "temperature": settings.temperature,
            "top_p": settings.top_p,
            "top_k": settings.top_k,
            "min_p": settings.min_p,
            "logprobs": 0,
            "ignore_eos": True,  # what ends a completion we say
            "stop_token_ids": [] if settings.ignore_end else list(self._policy.end_ids),
            "detokenize": False,
            "skip_special_tokens": False,
        }
        return {"token_ids": [*request.prompt_ids, *request.forced_start], "sampling_params": params}

    def _push(self, server: VLLMServer) -> None:
        with server.lock:
            num_starts = server.num_starts
            try:
                server.take_weights(self._newest, self._version)
            except EndpointError:
                if not server.is_ours():
                    raise
                self._revive(server, num_starts)

    def _revive(self, server: VLLMServer, num_starts: int) -> None:
        """Start a server again, unless somebody else has since it was started so many times."""
        with server.lock:
            if server.num_starts == num_starts:
                server.restart(self._newest)
                server.take_weights(self._newest, self._version)

    def _folder(self, version: int) -> Path:
        return self._place / f"version-{version}"

"""The vLLM engine: token ids go to the servers, token ids and log-probabilities come back.

A server that dies is started again with the newest weights, and what it had not finished is asked for once more. Draws
are vLLM's own and not derived from our seed, so a resumed run goes on with other samples than an uninterrupted one.
"""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from thinkwright.config.endpoint import Endpoint
from thinkwright.errors import EndpointError
from thinkwright.models.adapters import whole_adapters, write_adapter
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy
from thinkwright.rollout.engine import RolloutEngine, RolloutRequest, SamplingSettings
from thinkwright.rollout.memory import check_lengths
from thinkwright.rollout.vllm.reply import rollouts_of
from thinkwright.rollout.vllm.server import NAME, VLLMServer, adapter_name
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
        self._is_closed, self.policy_version = False, -1
        self._newest = place
        """The folder of the newest weights."""
        self._adapters: tuple[Policy, str] | None = None
        self._open: Counter[int] = Counter()
        """Versions that streams which run began with."""
        self._counting = threading.Lock()

    def __enter__(self) -> "VLLMEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closed = True  # threads that still ask must not start servers again
        for server in self._servers:
            server.stop()
        shutil.rmtree(self._place, ignore_errors=True)

    def use_adapters(self, learner: Policy, base: str) -> None:
        """See ``RolloutEngine``: servers start from the base and get adapters only. Completions end by those they began
        with."""
        assert self.policy_version < 0, "before the first weights"
        self._adapters = learner, base

    def take_weights(self, policy_version: int) -> None:
        """See ``RolloutEngine``. Without servers, on all ranks but the first, there is nothing to do but to help."""
        if policy_version == self.policy_version:
            return
        is_first = self.policy_version < 0
        tensors = whole_adapters(self._adapters[0]) if self._adapters is not None else {}
        folder = self._place / f"version-{policy_version}"
        if self._servers and self._adapters is not None:
            write_adapter(self._adapters[0], tensors, folder, self._adapters[1])
        elif self._servers:
            write_weights(self._policy, folder)
        # Only now, since a server that dies meanwhile is started with what these name.
        self.policy_version, self._newest = policy_version, folder
        if is_first:
            for server in self._servers:
                server.start(self._model)
            for server in self._servers:
                server.wait()
        for server in self._servers:
            self._push(server)
        self._clear()

    @property
    def _model(self) -> Path:
        """What a server starts from."""
        return self._newest if self._adapters is None else Path(self._adapters[1])

    def _clear(self) -> None:
        """Remove what nobody samples from any more."""
        with self._counting:
            oldest = min([self.policy_version, *self._open.elements()])
        for old in self._place.iterdir() if self._servers else ():
            version = int(old.name.rpartition("-")[2])
            if version < (self.policy_version if self._adapters is None else oldest):
                shutil.rmtree(old, ignore_errors=True)
                for server in self._servers if self._adapters is not None else ():
                    server.drop_adapter(version)

    def stream(self, requests: Sequence[RolloutRequest], settings: SamplingSettings) -> Iterator[_Item]:
        """See ``RolloutEngine``; raises EndpointError if a server cannot be brought back."""
        if not requests:
            return
        assert settings.thinking_budget is None, "budgets are for the native engine"
        assert not settings.stop, "stop texts are for the native engine"
        assert self.policy_version >= 0, "weights are pushed before they are sampled from"
        check_lengths(self._policy, requests, settings)
        done: SimpleQueue[_Item | Exception] = SimpleQueue()
        with self._counting:
            # Servers take new weights one after the other, and some may not have them yet.
            oldest = min([self.policy_version, *(server.version for server in self._servers)])
            self._open[oldest] += 1
        count = len(self._servers)
        for i, server in enumerate(self._servers):
            share = dict(list(enumerate(requests))[i::count])
            args = server, share, settings, oldest, done
            threading.Thread(target=self._serve, args=args, daemon=True).start()
        try:
            for _ in requests:
                found = done.get()
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            with self._counting:
                self._open[oldest] -= 1

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
            with server.lock:  # not while it is being started
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
        asked_for = None
        if self._adapters is not None:
            asked_for = server.version
            bodies = [body | {"model": adapter_name(asked_for)} for body in bodies]
        endpoint = Endpoint(
            url=f"{server.url}/inference/v1",
            name=NAME,
            timeout_seconds=self._seconds * max(1, self._open.total()),  # steps ahead wait for those before
            retries=0,
            concurrency=len(bodies),
        )
        with ServedModel(endpoint) as model, closing(model.post_each("generate", bodies)) as answers:
            for i, answer in answers:
                request = left[numbers[i]]
                versions = range(oldest, self.policy_version + 1)
                yield numbers[i], rollouts_of(answer, server.url, self._policy, request, settings, versions, asked_for)

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
                self._give(server)
            except EndpointError:
                if not server.is_ours():
                    raise
                self._revive(server, num_starts)

    def _revive(self, server: VLLMServer, num_starts: int) -> None:
        """Start a server again, unless somebody else has since it was started so many times."""
        with server.lock:
            if self._is_closed:
                raise EndpointError("the servers were closed")
            if server.num_starts == num_starts:
                server.restart(self._model)
                self._give(server)

    def _give(self, server: VLLMServer) -> None:
        if self._adapters is not None:
            server.take_adapter(self._newest, self.policy_version)
        else:
            server.take_weights(self._newest, self.policy_version)
        server.version = self.policy_version

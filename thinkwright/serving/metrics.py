"""What ``/metrics`` tells Prometheus."""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from thinkwright.serving.ask import Part
from thinkwright.serving.reply import ModelDesk

_FIRST_TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_REQUEST_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class ServingMetrics:
    """Counters of one server."""

    def __init__(self, desks: Mapping[str, ModelDesk]) -> None:
        self._registry = found = CollectorRegistry()
        found.register(_LoadCollector(desks))
        model = ("model",)
        self.requests = Counter("thinkwright_requests", "Requests answered", ("path", "status"), registry=found)
        self._prompt_tokens = Counter("thinkwright_prompt_tokens", "Tokens of prompts", model, registry=found)
        self._tokens = Counter("thinkwright_completion_tokens", "Of thoughts and answers", model, registry=found)
        self._thinking = Counter("thinkwright_reasoning_tokens", "Of thoughts alone", model, registry=found)
        self._cut = Counter("thinkwright_cut_replies", "Replies that ended at their limit", model, registry=found)
        self._failed = Counter("thinkwright_failed_replies", "Broken off by the server", model, registry=found)
        self._left = Counter("thinkwright_abandoned_requests", "Whose client left", model, registry=found)
        self._first = Histogram(
            "thinkwright_time_to_first_token_seconds", "From request to first text", model,
            buckets=_FIRST_TOKEN_SECONDS, registry=found,
        )  # fmt: skip
        self._whole = Histogram(
            "thinkwright_request_seconds", "From request to last text", model, buckets=_REQUEST_SECONDS, registry=found
        )

    async def counted(
        self, model: str, num_prompt_tokens: int, parts: AsyncGenerator[Part], started: float
    ) -> AsyncGenerator[Part]:
        """The same parts, counted as they pass, and closed with this; ``started`` as ``time.monotonic`` gave it."""
        self._prompt_tokens.labels(model).inc(num_prompt_tokens)
        is_first, is_whole = True, False
        try:
            async with aclosing(parts):
                async for part in parts:
                    if is_first:
                        self._first.labels(model).observe(time.monotonic() - started)
                        is_first = False
                    if part.end is not None:
                        self._tokens.labels(model).inc(part.num_tokens)
                        self._thinking.labels(model).inc(part.num_thinking_tokens)
                        self._cut.labels(model).inc(part.end == "length")
                    yield part
            is_whole = True
        except (GeneratorExit, asyncio.CancelledError):
            self._left.labels(model).inc()
            raise
        except Exception:
            self._failed.labels(model).inc()
            raise
        finally:
            if is_whole:
                self._whole.labels(model).observe(time.monotonic() - started)

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)


class _LoadCollector(Collector):
    """How busy the models are at the moment of asking."""

    def __init__(self, desks: Mapping[str, ModelDesk]) -> None:
        self._desks = desks

    def collect(self) -> list[GaugeMetricFamily]:
        running = GaugeMetricFamily("thinkwright_running_requests", "Requests that have a slot", labels=["model"])
        waiting = GaugeMetricFamily("thinkwright_waiting_requests", "Requests that wait for one", labels=["model"])
        is_up = GaugeMetricFamily("thinkwright_model_up", "1 if the model can answer", labels=["model"])
        for name, desk in self._desks.items():
            load = desk.backend.load()
            running.add_metric([name], load.num_running)
            waiting.add_metric([name], load.num_waiting)
            is_up.add_metric([name], load.is_up)
        return [running, waiting, is_up]

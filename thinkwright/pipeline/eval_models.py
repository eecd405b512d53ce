"""``thinkwright eval``: models answer suites; samples are kept, figures and tables made of them.

The folder: ``MODEL/SUITE/STRATEGY.jsonl`` (completions with token ids) and ``STRATEGY.scores.jsonl`` (what became of
each), ``MODEL/SUITE/figures.json``, ``MODEL/SUITE/test_time.json``, and ``table.md`` over all.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.evaluation import EvalSettings
from thinkwright.config.suites import SUITES
from thinkwright.errors import RecipeError
from thinkwright.evaluation.canonical import CANONICAL_VERSION
from thinkwright.evaluation.figures import Sample, figures_of
from thinkwright.evaluation.sample_store import SampleStore
from thinkwright.evaluation.sampler import CHAT, Drawing, LocalSampler, Sampler, ServedSampler
from thinkwright.evaluation.scoring import JudgeReplies, prefer, score_completions
from thinkwright.evaluation.strategies import Strategy
from thinkwright.evaluation.test_time import curve_of
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import choose_device, choose_dtype
from thinkwright.models.reward_model import load_reward_model
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.eval_table import MeasuredModel, write_tables
from thinkwright.pipeline.model_source import ModelSource, load_source
from thinkwright.pipeline.outside import content_digest
from thinkwright.rewards.extraction import EXTRACTION_VERSION
from thinkwright.rewards.pool import WorkerPool
from thinkwright.run_folder import write_bytes_atomic, write_json_atomic
from thinkwright.tasks.suites import check_suite, load_suite
from thinkwright.training.interrupt import StopRequest
from thinkwright.types import Prompt

Say = Callable[[str], None]
_SCORES = (
    "prompt_id", "family", "level", "language", "answer", "canonical", "score", "is_correct", "is_well_formed",
    "response_tokens", "thinking_tokens", "finish_reason", "reflection_words", "language_consistency", "preference",
)  # fmt: skip


class Interrupted(Exception):
    """The person asked to stop; what was sampled is kept."""


@dataclass(frozen=True)
class _Tools:
    """What all suites of one model need."""

    source: ModelSource
    sampler: Sampler
    template: str
    settings: EvalSettings
    pool: WorkerPool
    judge: JudgeReplies | None
    """A reward model that chooses among samples."""
    out: Path
    say: Say
    stop: StopRequest

    def folder(self, suite: str) -> Path:
        return self.out / self.source.name / suite


def evaluate_models(sources: Sequence[ModelSource], settings: EvalSettings, out: Path, say: Say) -> Path:
    """Evaluate every model on every suite, or what of that is left, and return the table's path.

    Raises RecipeError for settings that cannot be, ModelError and DataError for what cannot be loaded, EndpointError
    for a server that fails, Interrupted after a signal.
    """
    _check(sources, settings)
    found: dict[str, dict[str, MeasuredModel]] = {}
    with ExitStack() as stack:
        stop = stack.enter_context(StopRequest())
        pool = stack.enter_context(WorkerPool(settings.workers, isolation=settings.isolation))
        judge = _load_judge(settings)
        for source in sources:
            with _opened(source, settings) as (sampler, template):
                tools = _Tools(source, sampler, template, settings, pool, judge, out, say, stop)
                found[source.name] = {suite: _evaluate(tools, suite) for suite in settings.suites}
    return write_tables(found, out)


def _check(sources: Sequence[ModelSource], settings: EvalSettings) -> None:
    for suite in settings.suites:
        check_suite(suite)
    names = Counter(source.name for source in sources)
    if twice := [name for name, count in names.items() if count > 1]:
        raise RecipeError(f"two models are called {twice[0]}; evaluate them into different --out folders")
    served = [source for source in sources if source.endpoint is not None]
    if settings.key_variable is not None and not served:
        raise RecipeError("--key-variable has no effect without a served model (URL#NAME); leave it out")
    if settings.template is not None and len(served) == len(sources):
        raise RecipeError("--template has no effect on served models, whose servers have their own; leave it out")
    if settings.template not in (None, CHAT, *TEMPLATES):
        raise RecipeError(
            f"--template {settings.template}: there is none of this name, only {', '.join((CHAT, *TEMPLATES))}"
        )


@contextmanager
def _opened(source: ModelSource, settings: EvalSettings) -> Iterator[tuple[Sampler, str]]:
    """The sampler of a model, and the template it is asked in."""
    if source.endpoint is not None:
        endpoint = source.endpoint.model_copy(update={"key_variable": settings.key_variable})
        with ServedModel(endpoint) as served:
            served.probe()
            yield ServedSampler(served), CHAT
        return
    torch.set_num_threads(settings.machine.threads)
    device = choose_device(settings.machine.device)
    policy = load_source(source, device=device, dtype=choose_dtype(settings.machine.dtype, device))
    template = settings.template or source.template or (CHAT if policy.tokenizer.chat_template else "r1_zero")
    yield LocalSampler(policy, template, settings.slots), template


def _evaluate(tools: _Tools, suite: str) -> MeasuredModel:
    """Sample and score a suite in every strategy; leaves the files of the suite's folder."""
    settings, preset, folder = tools.settings, SUITES[suite], tools.folder(suite)
    ours = "think_summary" if tools.template == CHAT else tools.template
    questions = load_suite(suite, ours, settings.data, settings.questions)
    tools.say(questions.note)
    prompts = tools.sampler.prompts(questions.prompts)
    limit = tools.sampler.limit(prompts, settings.max_tokens or preset.max_response_tokens)
    drawing = Drawing(settings.samples or preset.samples, limit, settings.temperature, settings.top_p, settings.seed)
    told = _told(tools, suite, drawing)
    stores: dict[Strategy, SampleStore] = {}
    for strategy in _strategies(settings, limit):
        stores[strategy] = SampleStore(folder / f"{strategy.name}.jsonl", told | {"strategy": strategy.name})
        _fill(tools, stores[strategy], prompts, drawing, strategy, suite)
    found: dict[Strategy, list[Sample]] = {}
    figures: dict[Strategy, dict[str, Any]] = {}
    for strategy, store in stores.items():
        rows, not_graded = score_completions(
            prompts, [store.completions(prompt) for prompt in prompts], tools.pool, tools.sampler.count_tokens
        )
        if tools.judge is not None:
            prefer(rows, tools.judge)
        found[strategy] = rows
        figures[strategy] = figures_of(rows) | {
            "num_questions": len(prompts),
            "set_aside": dict(Counter(row["outcome"] for row in not_graded)),
            "set_aside_examples": not_graded[:5],
        }
        write_bytes_atomic(folder / f"{strategy.name}.scores.jsonl", _lines(rows))
        _warn(tools.say, f"{tools.source.name}, {suite}, {strategy.name}", figures[strategy])
    record = {
        "model": tools.source.name,
        "suite": suite,
        "settings": told | _scored_with(tools),
        "figures": {strategy.name: of for strategy, of in figures.items()},
    }
    write_json_atomic(folder / "figures.json", record)
    if drawing.samples > 1 or len(found) > 1:
        write_json_atomic(folder / "test_time.json", {"model": tools.source.name, "suite": suite} | curve_of(found))
    return MeasuredModel(found[Strategy()], figures)


def _strategies(settings: EvalSettings, limit: int) -> list[Strategy]:
    budgets = [Strategy("budget", amount) for amount in settings.thinking_budgets(limit)]
    return [Strategy(), *budgets, *(Strategy("wait", amount) for amount in settings.thought_waits)]


def _identity(source: ModelSource) -> str:
    """What it is by its files on this machine, or where it is."""
    if source.endpoint is not None:
        return source.location
    path = source.checkpoint or Path(resolve_model_name(source.location))
    return f"digest {content_digest(path)}" if path.is_dir() else source.location


def _told(tools: _Tools, suite: str, drawing: Drawing) -> dict[str, Any]:
    """What the samples depend on, as it stands beside them and every figure."""
    source = tools.source
    return {
        "suite": suite,
        "model": _identity(source),
        "template": tools.template,
        "samples": drawing.samples,
        "temperature": drawing.temperature,
        "top-p": drawing.top_p,
        "max-tokens": drawing.max_tokens,
        "seed": drawing.seed,
    }


def _scored_with(tools: _Tools) -> dict[str, Any]:
    """What the figures depend on beside the samples, and where the model was."""
    return {
        "location": str(tools.source.checkpoint or tools.source.location),
        "extraction_version": EXTRACTION_VERSION,
        "canonical_version": CANONICAL_VERSION,
        "reward_model": tools.settings.reward_model,
    }


def _fill(
    tools: _Tools, store: SampleStore, prompts: Sequence[Prompt], drawing: Drawing, strategy: Strategy, suite: str
) -> None:
    """Sample what is missing. Raises Interrupted after a signal."""
    missing = store.missing(prompts)
    if not missing:
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, TextColumn("left"), TimeRemainingColumn()) as progress:
        label = f"{tools.source.name}, {suite}, {strategy.name}"
        bar = progress.add_task(label, total=len(prompts), completed=len(prompts) - len(missing))
        for prompt, completions in tools.sampler.sample(missing, drawing, strategy):
            store.add(prompt, completions)
            progress.advance(bar)
            if tools.stop.is_requested:
                raise Interrupted


def _load_judge(settings: EvalSettings) -> JudgeReplies | None:
    if settings.reward_model is None:
        return None
    device = choose_device(settings.machine.device)
    dtype = choose_dtype(settings.machine.dtype, device)
    return load_reward_model(Path(settings.reward_model), device=device, dtype=dtype).rewards


def _lines(rows: Sequence[Sample]) -> bytes:
    kept = ({name: row[name] for name in _SCORES if name in row} for row in rows)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept).encode()


def _warn(say: Say, label: str, figures: dict[str, Any]) -> None:
    """What makes figures say less than they seem to."""
    if figures["truncated_rate"] > 0.1:
        say(f"{label}: {figures['truncated_rate']:.0%} of the completions were cut; raise --max-tokens")
    if figures["no_answer_rate"] > 0.1:
        say(f"{label}: {figures['no_answer_rate']:.0%} of the completions give no answer; is --template the right one?")
    if counts := figures["set_aside"]:
        told = ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items()))
        say(f"{label}: left out, since graders could not score them: {told}")

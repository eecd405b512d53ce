"""The self-check of every kind of recipe, alone or as a stage of a pipeline (``pipeline.py``)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import BaseModel

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.distill import DistillRecipe
from thinkwright.config.endpoint import Endpoint
from thinkwright.config.evaluate import EvaluateRecipe
from thinkwright.config.general import READS
from thinkwright.config.kinds import Recipe
from thinkwright.config.pipeline import REFERENCE
from thinkwright.config.recipe import Machine, PretrainRecipe, RLRecipe, TemplateName
from thinkwright.config.rejection import RejectionRecipe
from thinkwright.config.reward_model import RewardModelRecipe
from thinkwright.config.sft import SFTRecipe
from thinkwright.config.tasks import PromptsTask, TaskSettings
from thinkwright.errors import ThinkwrightError
from thinkwright.models.endpoint import ServedModel
from thinkwright.models.policy import Policy, choose_device, choose_dtype, load_policy
from thinkwright.models.reward_model import Reading, load_reward_model, start_reward_model
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline import reward_model
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.examine import Asked, DoctorReport, examine, examine_task
from thinkwright.pipeline.rl_inputs import check_recipe, load_traces
from thinkwright.pipeline.sft import check_context, load_rows
from thinkwright.rewards.pool import WorkerPool
from thinkwright.tasks.prompts import load_task
from thinkwright.tasks.task import Task
from thinkwright.training.preference_data import load_preference_data
from thinkwright.training.sft_data import load_sft_data
from thinkwright.training.teacher import check_tokenizers

_PROBE_TOKENS, _PROBE_SECONDS = 16, 60.0


@dataclass(frozen=True)
class _Question:
    """What is examined with a model: a task, and how it is asked."""

    model: str
    machine: Machine
    task: TaskSettings
    template: str
    asked: Asked
    workers: int


class Examiner:
    """Examines recipes one after the other; the same task with the same model and limits is examined once."""

    def __init__(self, *, examine_all: bool = False) -> None:
        """``examine_all``: all rows of large sets, however long it takes."""
        self._examine_all = examine_all
        self._policies: dict[str, Policy] = {}
        self._seen: dict[str, DoctorReport] = {}

    def examine(self, recipe: Recipe) -> DoctorReport:
        """Everything about a recipe that can be looked at before it runs. Raises what cannot be loaded."""
        torch.set_num_threads(recipe.machine.threads)
        return self._examine(recipe).with_checks(endpoint_checks(recipe))

    def _examine(self, recipe: Recipe) -> DoctorReport:
        if isinstance(recipe, RLRecipe):
            return self._examine_rl(recipe).with_checks(general_checks(recipe))
        if isinstance(recipe, SFTRecipe):
            return self._examine_sft(recipe)
        if isinstance(recipe, RejectionRecipe):
            return self._examine_rejection(recipe)
        if isinstance(recipe, RewardModelRecipe):
            return DoctorReport(tuple(_pair_checks(recipe)))
        if isinstance(recipe, EvaluateRecipe):
            return self._examine_evaluation(recipe)
        if isinstance(recipe, DistillRecipe):
            return self._examine_distill(recipe)
        return DoctorReport((self._start_check(recipe),))

    def _examine_rl(self, recipe: RLRecipe) -> DoctorReport:
        if reference := REFERENCE.fullmatch(recipe.model):
            return DoctorReport((_later("model", reference),))
        policy, task = self._policy(recipe.model, recipe.machine), load_task(recipe.task, recipe.template)
        with WorkerPool(recipe.rewards.workers, isolation=recipe.rewards.program_isolation) as pool:
            check_recipe(recipe, policy, task, pool)
            report = examine(recipe, policy, task, pool, examine_all=self._examine_all)
        return report.with_checks(_trace_checks(recipe, policy, task))

    def _examine_sft(self, recipe: SFTRecipe) -> DoctorReport:
        checks = self._row_checks(recipe, recipe.data)
        if recipe.task is None:
            return DoctorReport(tuple(checks))
        asked = Asked(recipe.seed, recipe.evaluation.max_response_tokens, None, recipe.program_isolation)
        question = _Question(recipe.model, recipe.machine, recipe.task, recipe.template, asked, 2)
        return self._examine_question(question).with_checks(checks)

    def _examine_rejection(self, recipe: RejectionRecipe) -> DoctorReport:
        rollout = recipe.rollout
        num_rollouts = rollout.prompts_per_step * rollout.group_size
        asked = Asked(recipe.seed, rollout.max_response_tokens, num_rollouts, recipe.program_isolation)
        question = _Question(recipe.model, recipe.machine, recipe.task, recipe.template, asked, recipe.workers)
        report = self._examine_question(question)
        if recipe.extra is None:
            return report
        return report.with_checks(self._row_checks(recipe, recipe.extra.data))

    def _examine_evaluation(self, recipe: EvaluateRecipe) -> DoctorReport:
        report = DoctorReport(())
        asked = Asked(recipe.seed, recipe.max_response_tokens, None, recipe.program_isolation)
        names: dict[tuple[str, TemplateName], list[str]] = {}
        for model in recipe.models:
            names.setdefault((model.model, model.template), []).append(model.name)
        for (model, template), alike in names.items():
            for task in (recipe.task, recipe.requests):
                if task is not None:
                    question = _Question(model, recipe.machine, task, template, asked, recipe.workers)
                    report = report.joined(_named(self._examine_question(question), ", ".join(alike)))
        return report

    def _examine_distill(self, recipe: DistillRecipe) -> DoctorReport:
        rollout = recipe.rollout
        asked = Asked(recipe.seed, rollout.max_response_tokens, None, recipe.program_isolation)
        question = _Question(recipe.model, recipe.machine, recipe.task, recipe.template, asked, recipe.workers)
        return self._examine_question(question).with_checks(self._teacher_checks(recipe))

    def _teacher_checks(self, recipe: DistillRecipe) -> list[Check]:
        """Whether a local teacher reads the student's tokens."""
        if recipe.teacher is None:
            return []
        for model in (recipe.teacher, recipe.model):
            if reference := REFERENCE.fullmatch(model):
                return [_later("teacher", reference)]
        student, teacher = (self._policy(model, recipe.machine) for model in (recipe.model, recipe.teacher))
        check_tokenizers(student, teacher, recipe.teacher)
        return [Check("teacher", "ok", f"{recipe.teacher} has the student's tokens")]

    def _examine_question(self, question: _Question) -> DoctorReport:
        if reference := REFERENCE.fullmatch(question.model):
            return DoctorReport((_later("model", reference),))
        if isinstance(question.task, PromptsTask):
            num_rows = len(list(load_task(question.task, question.template).all_prompts()))
            return DoctorReport((Check("prompts", "ok", f"{num_rows:,} readable; no rule judges them"),))
        if (key := repr(question)) not in self._seen:
            policy = self._policy(question.model, question.machine)
            task = load_task(question.task, question.template)
            with WorkerPool(question.workers, isolation=question.asked.isolation) as pool:
                found = examine_task(question.asked, policy, task, pool, examine_all=self._examine_all)
            self._seen[key] = found
        return self._seen[key]

    def _row_checks(self, recipe: SFTRecipe | RejectionRecipe, data: tuple[str, ...]) -> list[Check]:
        """Whether rows to fine-tune on can be read, written by the template, and held by the context."""
        checks = [_later("data", found) for path in data if (found := REFERENCE.fullmatch(path))]
        paths = tuple(path for path in data if not REFERENCE.fullmatch(path))
        if reference := REFERENCE.fullmatch(recipe.model):
            return [*checks, _later("rows", reference)]
        if paths:
            policy = self._policy(recipe.model, recipe.machine)
            if isinstance(recipe, SFTRecipe):
                task = load_task(recipe.task, recipe.template) if recipe.task is not None else None
                check_context(recipe, policy, task)
                rows = load_rows(recipe.model_copy(update={"data": paths}), policy, task)
            else:  # rows that it mixes in are written by the template of those who learn from them
                rows = load_sft_data(paths, TEMPLATES["think_summary"], policy, max_tokens=policy.max_positions)
            is_whole = not rows.report["left_out"]
            checks.append(Check("data", "ok" if is_whole else "warning", "; ".join(rows.notes())))
        return checks

    def _start_check(self, recipe: PretrainRecipe) -> Check:
        if recipe.start is None:
            return Check("model", "ok", "made from random weights")
        if reference := REFERENCE.fullmatch(recipe.start):
            return _later("model", reference)
        policy = self._policy(recipe.start, recipe.machine)
        return Check("model", "ok", f"goes on from {recipe.start}, context {policy.max_positions:,} tokens")

    def _policy(self, model: str, machine: Machine) -> Policy:
        if model not in self._policies:
            device = choose_device(machine.device)
            dtype = choose_dtype(machine.dtype, device)
            self._policies[model] = load_policy(resolve_model_name(model), device=device, dtype=dtype)
        return self._policies[model]


def endpoint_checks(recipe: BaseModel, key: str = "") -> list[Check]:
    """One short request to each served model that the recipe names."""
    checks: list[Check] = []
    for name in type(recipe).model_fields:
        value: Any = getattr(recipe, name)
        for part in cast("Sequence[Any]", value) if isinstance(value, tuple) else (value,):
            if isinstance(part, Endpoint):
                checks.append(_endpoint_check(f"{key}{name}", part))
            elif isinstance(part, BaseModel):
                checks += endpoint_checks(part, f"{key}{name}.")
    return checks


def general_checks(recipe: RLRecipe) -> list[Check]:
    """Tasks, reward models and shares of the prompts that no rule judges."""
    if recipe.general is None:
        return []
    checks: list[Check] = []
    per_step = recipe.rollout.prompts_per_step
    counts = {name: round(part.share * per_step) for name, part in recipe.general.sets().items()}
    for name, part in recipe.general.sets().items():
        num_prompts = len(list(load_task(part.task, recipe.template).all_prompts()))
        found = f"{num_prompts:,} prompts, {counts[name]} of a step's {per_step}"
        remedy = "" if counts[name] else f"raise general.{name}.share or rollout.prompts_per_step"
        checks.append(Check(f"general.{name}", "ok" if counts[name] else "failed", found, remedy))
        if (reference := REFERENCE.fullmatch(part.model)) is not None:
            checks.append(_later(f"general.{name}.model", reference))
        else:
            reads = load_reward_model(Path(part.model), device=torch.device("cpu"), dtype=torch.float32).reading.reads
            is_fit, wanted = reads == READS[name], READS[name]
            found = f"{part.model} is a reward model that reads the {reads}"
            remedy = "" if is_fit else f"give one trained with reads = {wanted}"
            checks.append(Check(f"general.{name}.model", "ok" if is_fit else "failed", found, remedy))
    if sum(counts.values()) >= per_step:
        checks.append(Check("general", "failed", "the shares leave no prompt of a step to the rules", "lower them"))
    return checks


def _trace_checks(recipe: RLRecipe, policy: Policy, task: Task) -> list[Check]:
    """Whether a teacher's traces can be read, and answer prompts of the task."""
    if recipe.teacher_traces is None:
        return []
    if found := [reference for path in recipe.teacher_traces.data if (reference := REFERENCE.fullmatch(path))]:
        return [_later("teacher_traces.data", found[0])]
    try:
        traces = load_traces(recipe, policy, task)
    except ThinkwrightError as error:
        return [Check("teacher_traces", "failed", str(error))]
    return [Check("teacher_traces", "ok", "; ".join(traces.notes() if traces is not None else ()))]


def _pair_checks(recipe: RewardModelRecipe) -> list[Check]:
    """Whether the pairs can be read, and how many are there on either side."""
    checks = [_later("data", found) for path in recipe.data if (found := REFERENCE.fullmatch(path))]
    paths = tuple(path for path in recipe.data if not REFERENCE.fullmatch(path))
    if reference := REFERENCE.fullmatch(recipe.model):
        return [*checks, _later("pairs", reference)]
    if paths:
        device = choose_device(recipe.machine.device)
        model = start_reward_model(
            resolve_model_name(recipe.model),
            Reading(recipe.template, recipe.reads, recipe.loss),
            device=device,
            dtype=choose_dtype(recipe.machine.dtype, device),
            seed=recipe.seed,
        )
        reward_model.check_context(recipe, model.policy)
        data = load_preference_data(recipe.model_copy(update={"data": paths}), model)
        is_whole = not any(data.report["left_out"].values())
        checks.append(Check("pairs", "ok" if is_whole else "warning", "; ".join(data.notes())))
    return checks


def _endpoint_check(key: str, settings: Endpoint) -> Check:
    patience = min(_PROBE_SECONDS, settings.timeout_seconds)
    try:
        with ServedModel(settings.model_copy(update={"retries": 0, "timeout_seconds": patience})) as served:
            served.probe()
    except ThinkwrightError as error:
        return Check(key, "failed", str(error), "start the server, or correct url, name or key_variable")
    return Check(key, "ok", f"{settings.name} at {settings.url} answers")


def _later(name: str, reference: re.Match[str]) -> Check:
    return Check(name, "ok", f"comes from stage {reference['stage']}, examined when that has run")


def _named(report: DoctorReport, name: str) -> DoctorReport:
    """The same with the model's name before each check."""
    checks = tuple(Check(f"{name}: {c.name}", c.status, c.found, c.remedy) for c in report.checks)
    return DoctorReport(checks, report.bad_rows, report.num_rows, report.num_examined, report.figures)

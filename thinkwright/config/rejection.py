"""What a recipe of rejection sampling may say: many completions a prompt; the good ones become rows to learn."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from thinkwright.config.judge import Judge, Refiner
from thinkwright.config.prompting import Prompting
from thinkwright.config.recipe import Machine, RolloutSettings, TemplateName
from thinkwright.config.section import Section, Share
from thinkwright.config.tasks import TaskSettings
from thinkwright.types import Isolation


class Keep(Section):
    """Which right completions are kept (DeepSeek-R1, arXiv:2501.12948, sections 2.3.1 and 2.3.3)."""

    min_language: Share = 0.95
    """Share of the thought's words in the question's language; mixed languages are dropped. 0 keeps all."""
    max_paragraph_characters: PositiveInt = 2000
    """A thought with a longer paragraph is dropped."""
    allow_code: bool = False
    """Keep thoughts with fenced code blocks."""
    max_repetition: Share = 0.2
    """Share of the 20-grams of words that stood in the completion before, at most."""
    per_prompt: PositiveInt = 2
    """Completions kept of one prompt, at most, in one round and in all: those with a thought first, then the shortest
    of those that differ."""
    allow_bare: bool = False
    """Keep answers without a thought, too, to questions that a judge judges: a greeting needs none."""


class Extra(Section):
    """Rows that are mixed in: without a rule to judge by, such as writing, facts, small talk, translation."""

    data: tuple[str, ...] = Field(min_length=1)
    """Files of rows with question, thought (or null), answer and perhaps language."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    """Their share of all rows (R1: 200,000 of 800,000); fewer if the files have not that many."""


class RejectionRollout(RolloutSettings):
    """How completions are sampled. Nothing is compared within a group, so one completion a prompt will do."""

    group_size: PositiveInt = 16
    """Completions of a prompt: the more, the likelier that a hard question has a right one."""


class RejectionRecipe(Section):
    """Rejection sampling: completions of a policy, kept when right and readable, as rows for supervised fine-tuning."""

    type: Literal["rejection_sample"]
    seed: int = 0
    """Seed of prompts and sampling."""
    machine: Machine = Machine()
    model: str
    """``tiny-base``, a Hugging Face folder, or a Hub name."""
    task: Annotated[TaskSettings, Field(discriminator="type")]
    """Questions and the rule that tells right answers; where it has none (``prompts``), ``judge`` tells them."""
    template: TemplateName = "think_summary"
    """How the model is asked and its replies told apart."""
    rollout: RejectionRollout = RejectionRollout()
    """``prompts_per_step`` prompts are sampled ``group_size`` times each in one step."""
    steps: PositiveInt
    """Rounds of sampling."""
    prompting: Prompting | None = None
    """What brings a model to think at length that was not trained to: worked examples, or being asked for it."""
    judge: Judge | None = None
    """A served model that judges what is written to questions without a rule (``task.type = "prompts"``)."""
    keep: Keep = Keep()
    rewrite: Literal["none", "tiny_world", "model"] = "none"
    """``tiny_world``: rules bring kept thoughts of the tiny world into a readable form, in the question's language.
    ``model``: the served model in ``refiner`` does it, of any task, and the rule judges what it wrote."""
    refiner: Refiner | None = None
    """A served model that rewrites kept thoughts and writes their summaries (R1, section B.3.1)."""
    extra: Extra | None = None
    workers: PositiveInt = 2
    """Processes that grade."""
    program_isolation: Isolation = "bubblewrap"
    """How programs that the model wrote are kept from the machine."""
    max_error_share: Share = 0.05
    """Share of a step's completions that graders may fail on before the stage stops."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "RejectionRecipe":
        if self.template == "boxed":
            raise ValueError(
                "template: boxed has no answer apart from the thought, so rows would hold the thought twice and a "
                'judge would see it; set template = "think_summary" or "r1_zero"'
            )
        if self.rewrite == "tiny_world" and self.task.type != "tiny_world":
            raise ValueError(f"rewrite: the rules know the tiny world only, not a {self.task.type} task; remove it")
        if self.rewrite == "model" and self.refiner is None:
            raise ValueError('rewrite = "model" needs the served model that rewrites; add [refiner] with url and name')
        if self.rewrite != "model" and self.refiner is not None:
            raise ValueError(f'refiner has no effect with rewrite = "{self.rewrite}"; set rewrite = "model"')
        if self.keep.per_prompt > self.rollout.group_size:
            raise ValueError(
                f"keep.per_prompt = {self.keep.per_prompt} is over rollout.group_size = {self.rollout.group_size}, the "
                "completions of one prompt; lower it"
            )
        return self

    @model_validator(mode="after")
    def _who_judges(self) -> "RejectionRecipe":
        if self.task.type == "prompts":
            self._check_judged()
        elif self.judge is not None:
            raise ValueError(
                f'judge: a {self.task.type} task has rules that judge; remove [judge], or set task.type = "prompts"'
            )
        elif self.keep.allow_bare:
            raise ValueError(
                'keep.allow_bare is for questions without a rule (task.type = "prompts"); remove it, since a right '
                "answer without a thought teaches to guess"
            )
        return self

    def _check_judged(self) -> None:
        if self.judge is None:
            raise ValueError(
                "task: prompts have no rule that tells a right answer; add [judge] with url and name of a served "
                "model that judges, or choose a task with a rule"
            )
        if self.rewrite == "model":
            raise ValueError('rewrite: "model" needs a task with a rule, which checks what was rewritten; remove it')
        if self.keep.allow_bare and self.template != "think_summary":
            raise ValueError(
                f"keep.allow_bare: the template {self.template} has no form for an answer without a thought; set "
                'template = "think_summary"'
            )
        if unused := {"workers", "program_isolation", "max_error_share"} & self.model_fields_set:
            raise ValueError(f"{sorted(unused)[0]} has no effect where no rule grades; remove it")

"""What a recipe may say: one frozen model per kind of stage. Unknown keys, wrong types and options without effect fail.

This package imports no torch, so that ``--help`` and recipe errors answer at once.
"""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.alarms import AlarmLimits
from thinkwright.config.algorithm import Algorithm
from thinkwright.config.checkpointed import Checkpointed
from thinkwright.config.critic import Critic
from thinkwright.config.curriculum import Curriculum
from thinkwright.config.engines import EngineSettings
from thinkwright.config.general import General
from thinkwright.config.lora import LoRASettings
from thinkwright.config.mirror import MirrorSettings
from thinkwright.config.rewards import RewardWeights
from thinkwright.config.section import Section, Share
from thinkwright.config.tasks import RuledTask
from thinkwright.config.teacher_traces import TeacherTraces
from thinkwright.config.vllm import VLLMSettings

TemplateName = Literal["r1_zero", "r1_zero_prefilled", "think_summary", "think_summary_prefilled", "boxed"]
"""The names in ``chat/template.py``."""


class Machine(Section):
    """Where and in which precision to compute."""

    device: str = "auto"
    """``auto`` (CUDA, then MPS, then CPU) or a torch device name."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """``auto`` is bf16 where the hardware multiplies in it. Master weights, logits and losses are fp32 always."""
    threads: PositiveInt = 2
    """CPU threads of torch. On a CPU the same number gives the same result."""


class TrainingMachine(Machine):
    """Where training takes place: in this process, or spread over several."""

    ranks: PositiveInt = 1
    """Processes that train together (FSDP2), each with its part of the weights, on a GPU of its own if there are any.
    Changes speed and memory, not the result; a run may be resumed with another number."""
    deadline_seconds: PositiveFloat = 1800.0
    """How long a rank waits for the others before it gives up; then all begin again at the newest checkpoint."""

    @model_validator(mode="after")
    def _deadline_has_effect(self) -> "TrainingMachine":
        if self.ranks == 1 and self.deadline_seconds != TrainingMachine.model_fields["deadline_seconds"].default:
            raise ValueError("deadline_seconds has no effect with ranks = 1; remove it")
        return self


class Sampling(Section):
    """How completions are drawn."""

    max_response_tokens: PositiveInt = 192
    """A completion is cut here and counts as truncated."""
    temperature: PositiveFloat = 1.0
    """Divides the logits; 1 samples the policy itself."""


class RolloutSettings(Sampling):
    """One step's rollouts."""

    prompts_per_step: PositiveInt = 32
    """Groups sampled for one step (R1-Zero: 32 questions a step)."""
    group_size: Annotated[int, Field(ge=2)] = 16
    """Completions per prompt, G (R1-Zero: 16)."""
    slots: PositiveInt = 256
    """Completions that are sampled at the same time, at most; a free slot takes the next one. Changes speed and memory,
    not the result."""
    memory_gb: PositiveFloat | None = None
    """GiB for keys and values of sampling; by default half of the free memory, four fifths on a CUDA GPU. Where fewer
    slots fit, fewer run; where not one fits, the run is refused before it starts."""

    @property
    def memory_bytes(self) -> int | None:
        """``memory_gb`` in bytes."""
        return None if self.memory_gb is None else int(self.memory_gb * 2**30)


class TrainingRollout(RolloutSettings):
    """Rollouts for training: the trainer's own process samples them, or others do."""

    vllm: VLLMSettings | None = None
    """Sample by vLLM servers, which take the new weights after each step, instead of in the trainer's own process."""
    engines: EngineSettings | None = None
    """Sample by processes of our own engine beside the trainer."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "TrainingRollout":
        if self.vllm is not None and self.engines is not None:
            raise ValueError("vllm and engines: one or the other samples; remove one")
        fields = TrainingRollout.model_fields
        given = [key for key in ("slots", "memory_gb") if getattr(self, key) != fields[key].default]
        if self.vllm is not None and given:
            raise ValueError(
                f"{', '.join(given)}: no effect where vLLM samples; see the keys under vllm, or remove vllm"
            )
        return self

    @property
    def samples_apart(self) -> bool:
        """Whether other processes than the trainer's sample."""
        return self.vllm is not None or self.engines is not None


class RLRollout(TrainingRollout):
    """Rollouts of RL, which may be of older weights than those that learn from them."""

    thinking_budget: tuple[PositiveInt, PositiveInt] | None = None
    """A thought that has not ended within so many tokens, drawn for each step between the two, is closed and the answer
    begun; the tokens given so are not learned from (interruption: ScaleRL, arXiv:2510.13786)."""
    refill_rounds: int = Field(default=0, ge=0, le=16)
    """Dynamic sampling: as often, at most, other prompts are sampled in a step for those whose group teaches nothing,
    all its rewards being the same (DAPO, arXiv:2503.14476)."""
    max_staleness: int = Field(default=0, ge=0, le=32)
    """Asynchronous rollouts: how many steps' updates the weights may lack that a step's rollouts begin with. Samplers
    begin so many steps ahead, and go on under new weights as these come. 0: each step waits for its rollouts."""

    @model_validator(mode="after")
    def _budget_leaves_room(self) -> "RLRollout":
        if self.thinking_budget is None:
            return self
        low, high = self.thinking_budget
        if low > high:
            raise ValueError(f"thinking_budget: {low} is over {high}; write the smaller one first")
        if high >= self.max_response_tokens:
            raise ValueError(
                f"thinking_budget: {high} leaves no room for an answer within max_response_tokens = "
                f"{self.max_response_tokens}; lower it or raise that"
            )
        if self.vllm is not None:
            raise ValueError("thinking_budget: vLLM closes no thoughts; sample by [rollout.engines] or remove it")
        return self

    @model_validator(mode="after")
    def _staleness_has_effect(self) -> "RLRollout":
        if self.max_staleness > 0 and not self.samples_apart:
            raise ValueError(
                "max_staleness has no effect where the trainer's own process samples; set rollout.engines.count = 1 "
                "(or rollout.vllm), or remove it"
            )
        return self


class Optimizer(Section):
    """AdamW on fp32 master weights."""

    lr: PositiveFloat = 1e-6
    """Learning rate after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises linearly from 0."""
    decay: Literal["constant", "linear"] = "constant"
    """After the warm-up the rate stays, or falls linearly to 0 at the last step."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the first moment."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.95
    """Decay of the second moment."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: PositiveFloat = 1.0
    """Gradients are scaled down to this norm."""
    micro_batch_tokens: PositiveInt = 4096
    """Tokens of prompts and completions in one forward and backward pass; changes memory, not the gradient."""
    recompute_activations: bool = False
    """Keep only the layers' inputs and compute the layers again in the backward pass: less memory, more time."""


class Measurement(Section):
    """How the held-out questions are sampled."""

    samples_per_question: PositiveInt = 2
    """Completions per held-out question; figures are means over all."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature, the same before and after."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Draw from the likeliest tokens that together have this probability (DeepSeek-R1: 0.95 at temperature 0.6)."""


class Evaluation(Measurement):
    """Held-out evaluation, before and after training and every few steps."""

    every_steps: PositiveInt = 25
    """Steps between evaluations during RL."""


class Gate(Section):
    """RL starts only from a base that can do better than it does."""

    min_forced_minus_bare: float = Field(default=0.2, ge=-1, le=1)
    """Held-out accuracy when made to go step by step, less that of the bare answer, must be at least this."""


class ModelShape(Section):
    """A Qwen2 model; sizes such that GGUF quantization, llama.cpp and vLLM take it."""

    vocab_size: Annotated[int, Field(ge=512)] = 1024
    """Entries of the tokenizer that is trained with it."""
    hidden_size: Annotated[int, Field(gt=0, multiple_of=256)] = 256
    """Width; divisible by 256 for GGUF's k-quants. Heads are 64 wide."""
    intermediate_size: Annotated[int, Field(gt=0, multiple_of=256)] = 512
    """Width inside the MLP."""
    num_layers: PositiveInt = 4
    """Decoder layers."""
    num_kv_heads: PositiveInt = 2
    """Key-value heads."""


class StyleShares(Section):
    """How the replies of the tiny world's web are written; the shares sum to 1."""

    guess: Share = 0.6
    """An answer at once; the harder the question, the more often wrong."""
    skip: Share = 0.12
    """Half of the steps, then the answer."""
    careful: Share = 0.28
    """Every step; now and then a slip that is noticed, or a second look."""

    @model_validator(mode="after")
    def _sum_to_one(self) -> "StyleShares":
        if abs(self.guess + self.skip + self.careful - 1) > 1e-9:
            raise ValueError("guess, skip and careful must sum to 1; change the others along with one")
        return self


class PretrainRecipe(Checkpointed):
    """Pre-train the tiny world's base model."""

    type: Literal["pretrain"]
    seed: int = 0
    """Seed of corpus, weights and batches."""
    machine: Machine = Machine()
    start: str | None = None
    """Model folder to go on from; without one, weights are random and a tokenizer is trained."""
    model: ModelShape = ModelShape()
    styles: StyleShares = StyleShares()
    steps: PositiveInt = 2000
    """Optimizer steps."""
    documents_per_step: PositiveInt = 256
    """Questions with replies in one step."""
    micro_batch_tokens: PositiveInt = 8192
    """Tokens in one forward and backward pass."""
    lr: PositiveFloat = 2e-3
    """Peak learning rate; falls linearly to 0."""
    warmup_steps: PositiveInt = 50
    """Steps over which the rate rises linearly from 0."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay."""
    checkpoint_steps: PositiveInt = 250
    """Steps between checkpoints."""
    evaluation: Measurement = Measurement()
    mirror: MirrorSettings | None = None
    """Show the metrics in other tools, too."""

    @model_validator(mode="after")
    def _shape_has_effect(self) -> "PretrainRecipe":
        if self.start is not None and "model" in self.model_fields_set:
            raise ValueError("model has no effect with start, whose shape is taken; remove [model]")
        return self


class RLRecipe(Checkpointed):
    """Reinforcement learning from verifiable rewards on a base model: R1-Zero."""

    type: Literal["rl"]
    seed: int = 0
    """Seed of prompts and sampling."""
    machine: TrainingMachine = TrainingMachine()
    model: str
    """``tiny-base`` (shipped with the package), a Hugging Face folder, or a Hub name."""
    task: Annotated[RuledTask, Field(discriminator="type")]
    """Questions and the rule by which answers are judged; its held-out questions are the evaluation."""
    template: TemplateName = "r1_zero"
    """How questions are put and replies told apart: R1-Zero's tags, the same with ``<think>`` given, R1's thought and
    summary, or a last ``\\boxed{}``."""
    curriculum: Curriculum | None = None
    """Leave out, for a while, prompts that are all right or all wrong; without one, every prompt takes its turn."""
    rewards: RewardWeights = RewardWeights()
    general: General | None = None
    """Prompts that no rule judges, in the last part of the run: R1's second RL stage."""
    rollout: RLRollout = RLRollout()
    algorithm: Algorithm = Algorithm()
    critic: Critic | None = None
    """PPO's critic, for ``algorithm.advantage = "gae"``."""
    teacher_traces: TeacherTraces | None = None
    """A teacher's completions among the policy's own."""
    optimizer: Optimizer = Optimizer()
    lora: LoRASettings | None = None
    """Train low-rank adapters instead of the weights."""
    steps: PositiveInt
    """Rollout-and-update rounds."""
    evaluation: Evaluation = Evaluation()
    alarms: AlarmLimits = AlarmLimits()
    """When a run says that something is wrong."""
    mirror: MirrorSettings | None = None
    """Show the metrics in other tools, too."""
    gate: Gate | None = None
    """Entry condition, measured before training; only the tiny world can be forced to go step by step."""

    @property
    def samples_differ(self) -> bool:
        """Whether samples come from another program, or other weights, than those of the update: sums of weights and
        adapters are rounded to the dtype that is sampled in."""
        return self.rollout.vllm is not None or self.rollout.max_staleness > 0 or self.lora is not None

    @model_validator(mode="after")
    def _parts_fit(self) -> "RLRecipe":
        if self.gate is not None and self.task.type != "tiny_world":
            raise ValueError(
                f"gate has no effect on a {self.task.type} task: only the tiny world can measure it; remove [gate]"
            )
        if self.curriculum is not None and self.task.type == "tiny_world":
            raise ValueError(
                "curriculum has no effect on the tiny world, whose questions are made anew for every step; "
                "remove [curriculum]"
            )
        buffer, limit = self.rewards.overlong_buffer_tokens, self.rollout.max_response_tokens
        if buffer is not None and buffer > limit:
            raise ValueError(
                f"rewards.overlong_buffer_tokens = {buffer} is over rollout.max_response_tokens = {limit}; lower it"
            )
        if self.general is not None and self.general.first_step >= self.steps:
            raise ValueError(
                f"general has no effect: general.first_step = {self.general.first_step} is not under steps = "
                f"{self.steps}; lower it, or remove [general]"
            )
        if self.general is not None and self.template == "boxed":
            raise ValueError(
                "general: the template boxed has no summary apart from the thought for reward models to read; set "
                'template = "think_summary"'
            )
        given = [key for key in ("correction", "correction_cap") if getattr(self.algorithm, key) is not None]
        if given and not self.samples_differ:
            raise ValueError(
                f"algorithm.{given[0]} has no effect where the trainer's own model samples; remove it, or sample by "
                "[rollout.vllm], with rollout.max_staleness, or train adapters ([lora])"
            )
        if self.rollout.max_staleness > 0 and self.alarms.logprob_gap != AlarmLimits().logprob_gap:
            raise ValueError(
                "alarms.logprob_gap has no effect with rollout.max_staleness, since samples are of older weights; "
                "remove it"
            )
        if self.algorithm.loss == "dppo" and self.algorithm.mini_batches == 1 and not self.samples_differ:
            raise ValueError(
                'algorithm.loss = "dppo" is the plain policy gradient where the trainer samples and mini_batches = 1; '
                "raise mini_batches or remove it"
            )
        is_plain = set(self.rewards.weights()) <= {"accuracy", "random"} and self.rewards.normalize == "none"
        if self.algorithm.advantage == "maximum_likelihood" and (not is_plain or self.general is not None):
            raise ValueError(
                'algorithm.advantage = "maximum_likelihood" divides by the share that is right, so it is for rewards '
                "of 0 and 1 alone; set rewards.format = 0 and leave out other rewards, normalize and [general]"
            )
        if self.rollout.thinking_budget is not None and self.template == "boxed":
            raise ValueError("rollout.thinking_budget: the template boxed has no thought to close; remove it")
        if self.rollout.refill_rounds and self.curriculum is not None:
            raise ValueError(
                "rollout.refill_rounds: a curriculum gives each step's prompts once and in order; remove [curriculum] "
                "or refill_rounds"
            )
        if self.rollout.refill_rounds and self.machine.ranks > 1 and not self.rollout.samples_apart:
            raise ValueError(
                "rollout.refill_rounds: ranks that sample themselves have each their own share of a step; let engines "
                "sample (rollout.engines or rollout.vllm), or remove it"
            )
        if self.rollout.prompts_per_step % self.algorithm.mini_batches:
            raise ValueError("rollout.prompts_per_step must be a multiple of algorithm.mini_batches")
        return self

    @model_validator(mode="after")
    def _critic_fits(self) -> "RLRecipe":
        if (self.algorithm.advantage == "gae") != (self.critic is not None):
            raise ValueError(
                'algorithm.advantage = "gae" is what a critic is for, and needs one; set both it and [critic], or '
                "neither"
            )
        if self.critic is None:
            return self
        if self.machine.ranks > 1 or self.lora is not None:
            raise ValueError("critic: it learns in one process and by its own weights; remove machine.ranks and [lora]")
        if self.algorithm.kl_in == "reward":
            raise ValueError(
                'algorithm.kl_in = "reward": the critic learns the task\'s reward alone; set kl and kl_in to defaults'
            )
        if self.rollout.refill_rounds or self.teacher_traces is not None:
            raise ValueError(
                "rollout.refill_rounds and teacher_traces are for groups held against themselves; with a critic every "
                "completion teaches; remove them, or [critic]"
            )
        if self.rewards.normalize != "none" or self.algorithm.loss == "gspo" or self.general is not None:
            raise ValueError(
                "critic: it learns what reward a completion comes to, token by token; rewards.normalize, "
                'algorithm.loss = "gspo" and [general] are for groups or whole completions; remove them, or [critic]'
            )
        if self.critic.pretrain_steps >= self.steps:
            raise ValueError(
                f"critic.pretrain_steps = {self.critic.pretrain_steps} leaves the policy no step of {self.steps}; "
                "lower it"
            )
        return self

    @model_validator(mode="after")
    def _traces_fit(self) -> "RLRecipe":
        if self.teacher_traces is None:
            return self
        if self.algorithm.kl_in == "reward":
            raise ValueError(
                'teacher_traces: algorithm.kl_in = "reward" is for tokens that the policy drew; set kl and kl_in to '
                "defaults"
            )
        if self.curriculum is not None:
            raise ValueError(
                "teacher_traces: a curriculum sets aside the prompts that are always answered wrong, which a trace is "
                "for; remove [curriculum] or [teacher_traces]"
            )
        if self.algorithm.loss == "gspo":
            raise ValueError(
                'teacher_traces: a trace is learned from token by token, and algorithm.loss = "gspo" takes a '
                "completion whole; choose another loss"
            )
        return self

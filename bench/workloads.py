"""What every arm computes: the model's shape, the prompts, and where each completion ends. Standard library only.

Ends are laid down beforehand for every prompt and member, so that all arms sample the same number of tokens.
"""

import json
import math
import random
from dataclasses import asdict, dataclass
from pathlib import Path

TEMPERATURE = 1.0


@dataclass(frozen=True)
class Shape:
    """A Qwen3-shaped model with tied embeddings."""

    vocab_size: int
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    intermediate: int = 768
    max_positions: int = 4096

    @property
    def layer_weights(self) -> int:
        """Weights of the matrix products inside the layers."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def head_weights(self) -> int:
        """Weights of the head, which are the embeddings' too."""
        return self.vocab_size * self.hidden

    @property
    def cache_values(self) -> int:
        """Numbers that the cache keeps per token."""
        return 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Plan:
    """A workload before its prompts are made."""

    vocab_size: int
    num_prompts: int
    group_size: int
    shortest: int
    """Tokens of the shortest completion; the others stand on a geometric ladder up to ``longest``."""
    longest: int


PLANS = {
    "1": Plan(vocab_size=512, num_prompts=16, group_size=16, shortest=64, longest=64),
    "2": Plan(vocab_size=512, num_prompts=16, group_size=16, shortest=8, longest=256),
    "3": Plan(vocab_size=151_936, num_prompts=2, group_size=16, shortest=64, longest=64),
    # Not a benchmark: shows in a minute that every arm runs.
    "tiny": Plan(vocab_size=512, num_prompts=4, group_size=4, shortest=4, longest=16),
}


@dataclass(frozen=True)
class Workload:
    """Prompts, the number of tokens of each of their completions, and the model folder."""

    name: str
    model: str
    shape: Shape
    prompts: list[str]
    prompt_ids: list[list[int]]
    ends: list[list[int]]
    """Tokens of each completion (P, G), its end token included."""

    @property
    def group_size(self) -> int:
        """Completions per prompt."""
        return len(self.ends[0])

    @property
    def longest(self) -> int:
        """Tokens of the longest completion."""
        return max(map(max, self.ends))

    @property
    def num_tokens(self) -> int:
        """Tokens of all completions."""
        return sum(map(sum, self.ends))

    @property
    def num_prompt_tokens(self) -> int:
        """Tokens of all prompts, each counted once."""
        return sum(map(len, self.prompt_ids))

    @property
    def rows(self) -> list[tuple[int, int]]:
        """(prompt, end) of every completion, prompt after prompt: how engines without groups see it."""
        return [(i, end) for i, ends in enumerate(self.ends) for end in ends]

    def reward(self, step: int, prompt: int, member: int) -> float:
        """A number in [0, 1) that depends on nothing else: groups have variance and arms the same rewards."""
        return random.Random(f"{step}/{prompt}/{member}").random()


def geometric_ends(plan: Plan) -> list[list[int]]:
    """Ends (P, G) on a geometric ladder from ``shortest`` to ``longest``, dealt out in a fixed random order."""
    count = plan.num_prompts * plan.group_size
    ratio = math.log(plan.longest / plan.shortest)
    ladder = [round(plan.shortest * math.exp(ratio * i / (count - 1))) for i in range(count)]
    random.Random("ends").shuffle(ladder)
    return [ladder[i * plan.group_size : (i + 1) * plan.group_size] for i in range(plan.num_prompts)]


def question(idx: int) -> str:
    """The part of a prompt that differs from the others', in text and in length."""
    draw, num_terms = random.Random(f"question/{idx}"), 3 + idx % 5
    return "What is " + " ".join(f"{draw.randrange(10, 99)} {draw.choice('+-*')}" for _ in range(num_terms)) + " 7?"


def write_workload(path: Path, workload: Workload) -> None:
    """Write the file that the arms read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(workload)), encoding="utf-8")


def read_workload(path: str | Path) -> Workload:
    """The workload of a file."""
    fields = json.loads(Path(path).read_text(encoding="utf-8"))
    return Workload(**{**fields, "shape": Shape(**fields["shape"])})

"""What ``thinkwright eval`` is told: which suites, and how they are sampled."""

from dataclasses import dataclass, field

from thinkwright.config.recipe import Machine
from thinkwright.config.suites import TEMPERATURE, TOP_P
from thinkwright.types import Isolation


@dataclass(frozen=True)
class EvalSettings:
    """As the command's options of the same names; None: the suite's, or the model's."""

    suites: tuple[str, ...]
    samples: int | None = None
    """Completions a question."""
    questions: int | None = None
    """Questions of a suite to use, at most."""
    temperature: float = TEMPERATURE
    """0: the likeliest token always."""
    top_p: float = TOP_P
    max_tokens: int | None = None
    """Of a completion."""
    seed: int = 0
    template: str | None = None
    """One of ours, or ``chat``: the model's own."""
    data: str | None = None
    """Folder of the data sets, or ``hub``."""
    budgets: tuple[int, ...] = ()
    """Thinking budgets in tokens, each a strategy of its own beside the free one."""
    waits: tuple[int, ...] = ()
    """Times that the end of a thought is taken back, each a strategy of its own."""
    test_time: bool = False
    """Take budgets and waits spread over what the limit allows."""
    reward_model: str | None = None
    """Folder of a reward model that chooses among samples."""
    key_variable: str | None = None
    """Environment variable with the key of served models."""
    slots: int = 256
    """Completions sampled at the same time."""
    workers: int = 2
    """Processes that grade."""
    isolation: Isolation = "bubblewrap"
    """How programs that models write are kept from the machine."""
    machine: Machine = field(default_factory=Machine)

    def thinking_budgets(self, max_tokens: int) -> tuple[int, ...]:
        """The budgets to try within a limit of so many tokens: as given, or doubling from a 24th of it."""
        if self.budgets or not self.test_time:
            return self.budgets
        return tuple(b for i in range(5) if (b := max(1, max_tokens // 24) * 2**i) < max_tokens * 3 // 4)

    @property
    def thought_waits(self) -> tuple[int, ...]:
        """How often the end of a thought is taken back."""
        return self.waits or ((1, 2, 4) if self.test_time else ())

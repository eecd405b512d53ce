"""What a recipe may say of its task: where prompts and gold answers come from."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from thinkwright.config.section import Section, Share

Family = Literal[
    "arithmetic", "word_problems", "countdown", "permutations", "ordering", "truth_tellers", "programs", "facts"
]
EXAMINED_FAMILIES: tuple[Family, ...] = (
    "arithmetic", "word_problems", "countdown", "permutations", "ordering", "truth_tellers", "programs", "facts",
)  # fmt: skip
RequestFamily = Literal["greeting", "identity", "writing", "translation", "benign", "harmful"]
ALL_REQUESTS: tuple[RequestFamily, ...] = ("greeting", "identity", "writing", "translation", "benign", "harmful")
SetName = Literal[
    "aime", "amc23", "bbh", "cmath", "code_contests", "college_math", "countdown", "cruxeval", "game24", "gsm8k",
    "ifeval", "knights_and_knaves", "leetcode", "math", "mbpp", "mgsm", "mmlu_stem", "olympiadbench",
    "reasoning_gym", "svamp", "xstest",
]  # fmt: skip
"""The names in ``tasks/sets``."""
VerifierName = Literal[
    "number", "words", "word_set", "math", "exact", "choice", "structured", "countdown", "truth_assignment",
    "functions", "stdin_stdout", "program", "instructions", "reasoning_gym", "conduct",
    "refusal",
]  # fmt: skip
"""The names in ``rewards/registry.py``."""


class Filters(Section):
    """Which training rows to leave out. Held-out rows, and training rows that give one away, need no setting."""

    decontaminate_against: tuple[str, ...] = ()
    """Evaluation sets to keep out of training: names of sets, or files of rows with the task's question column. A row
    that shares a 10-gram with one of their questions is dropped (DeepSeek-R1, section B.3)."""
    deduplicate: bool = True
    """Keep only the first of the rows whose questions are the same but for case, spaces and sentence punctuation;
    in a mixture, of the rows of all parts."""
    near_duplicate_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Also drop a row if at least this share of its 10-grams stands in rows before it. Not for made questions."""
    max_question_characters: PositiveInt | None = None
    """Leave out longer questions, held-out ones too."""
    pass_rates: str | None = None
    """File that ``thinkwright difficulty`` wrote: a pass rate for each question. Rows without one are left out."""
    min_pass_rate: Share = 0.0
    """Leave out rows that the measured model solves less often."""
    max_pass_rate: Share = 1.0
    """Leave out rows that the measured model solves more often."""

    @model_validator(mode="after")
    def _options_have_effect(self) -> "Filters":
        is_band = self.min_pass_rate > 0 or self.max_pass_rate < 1
        if is_band and self.pass_rates is None:
            raise ValueError("min_pass_rate and max_pass_rate need pass_rates, the file with what was measured; add it")
        if self.pass_rates is not None and not is_band:
            raise ValueError("pass_rates has no effect without min_pass_rate or max_pass_rate; add one")
        if self.min_pass_rate > self.max_pass_rate:
            raise ValueError("min_pass_rate is above max_pass_rate, which leaves no row; lower it")
        return self


class TinyWorldTask(Section):
    """The generated questions of the tiny world; its 256 held-out questions are the evaluation."""

    type: Literal["tiny_world"]
    families: tuple[Family, ...] = Field(default=EXAMINED_FAMILIES, min_length=1)
    """Question families to draw prompts from."""


class RequestsTask(Section):
    """The tiny world's requests to an assistant: talk, writing, translation, and deeds that harm or only sound so."""

    type: Literal["tiny_requests"]
    families: tuple[RequestFamily, ...] = Field(default=ALL_REQUESTS, min_length=1)
    """Kinds of requests to draw prompts from."""


class NamedTask(Section):
    """A data set the package knows by name, from a folder or from the Hub (docs/rewards/tasks.md lists them)."""

    type: Literal["named"]
    name: SetName
    """Which one."""
    data: str | None = None
    """Folder with one folder a set, or ``hub``; by default the folder in the environment variable THINKWRIGHT_DATA, or
    else the Hub."""
    levels: tuple[int, int] | None = None
    """Lowest and highest level to use, such as [3, 5] people in knights_and_knaves."""
    languages: tuple[str, ...] = ()
    """Languages to use, as ISO 639-1 codes; all if empty. A set that has none of them, training or held-out, is used
    whole."""
    families: tuple[str, ...] = ()
    """Families to use, such as ``bbh/navigate``; all if empty. A set that has none of them is used whole."""
    held_out: tuple[SetName, ...] = ()
    """Sets whose held-out rows are the evaluation, in place of the set's own."""
    max_held_out: PositiveInt = 256
    """Held-out rows to use: a fixed sample. Training rows are kept clear of all of them."""
    filters: Filters = Filters()

    @model_validator(mode="after")
    def _levels_in_order(self) -> "NamedTask":
        if self.levels is not None and self.levels[0] > self.levels[1]:
            raise ValueError("levels: the lowest comes first")
        return self


class Columns(Section):
    """Names of the columns of your own rows."""

    question: str = "question"
    """The question as the model is to read it."""
    answer: str = "answer"
    """What the verifier compares with: text or a number, or the object that the verifier reads."""
    reference: str | None = None
    """A right answer as a model would write it, where ``answer`` is something else, such as tests."""
    level: str | None = None
    """A whole number to group results by; without one all rows have level 1."""
    language: str | None = None
    """ISO 639-1 code; without one it is told from the question: English or Chinese."""
    family: str | None = None
    """A name to group results by; without one it is the file's."""


class RowsTask(Section):
    """Your own questions and answers: JSON lines (plain or .gz), Parquet, or ``hub:owner/name:split``."""

    type: Literal["rows"]
    path: str
    """File or Hub address with the training rows."""
    held_out_path: str
    """File or Hub address with the evaluation's rows; training rows that share a 10-gram with one are dropped."""
    columns: Columns = Columns()
    answer_pattern: str | None = None
    r"""Regular expression whose first group is the gold answer inside the answer column, such as ``####\s*(.+)``."""
    verifier: VerifierName = "number"
    """The rule by which answers are judged; docs/rewards/tasks.md says which one fits."""
    questions_are_made: bool = False
    """Questions are made from templates and share their words: only whole questions are compared for leaks."""
    max_held_out: PositiveInt = 256
    """Held-out rows to use: a fixed sample. Training rows are kept clear of all of them."""
    filters: Filters = Filters()


class PromptsTask(Section):
    """Questions alone, without answers: for reward models or judges to look at what is written to them."""

    type: Literal["prompts"]
    data: tuple[str, ...] = Field(min_length=1)
    """Files or addresses of rows with that column, such as ``known:short_instructions``."""
    column: str = "question"
    """Name of the column."""
    reference_column: str | None = None
    """Column of an answer that a judge holds others against; without one it judges by itself."""
    max_question_characters: PositiveInt | None = None
    """Leave out longer questions."""


class MixturePart(Section):
    """One task of a mixture."""

    weight: PositiveFloat = 1.0
    """How often a prompt is drawn from it, relative to the others."""
    task: Annotated[NamedTask | RowsTask | TinyWorldTask, Field(discriminator="type")]
    """Where its questions come from."""


class MixtureTask(Section):
    """Several tasks at once: every prompt is drawn from one of them. A row keeps clear of the held-out rows of all."""

    type: Literal["mixture"]
    parts: tuple[MixturePart, ...] = Field(min_length=2)
    """The tasks with their weights."""


RuledTask = TinyWorldTask | RequestsTask | NamedTask | RowsTask | MixtureTask
"""Tasks whose answers a rule can judge."""
TaskSettings = RuledTask | PromptsTask

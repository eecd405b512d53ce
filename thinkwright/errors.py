"""Every error a user can meet, as one tree.

ThinkwrightError
|-- RecipeError        a recipe file or an override is wrong (names the file, the key and the remedy)
|-- DataError          a data file or row is wrong (names the file and the row)
|-- ModelError         a model folder or tokenizer cannot be used (names the folder)
|-- RunFolderError     a run folder cannot be written or continued (names the folder)
|-- GraderError        a grader failed; never turned into a zero reward
|-- EndpointError      a served model is down, too slow or refuses (names its address)
|-- RanksError         trainer processes are too few, do not match, or lost each other (names the rank)
|-- GateError          a stage's entry condition was measured and not met
|-- TrainingError      training met a state it must not continue from (NaN loss)
`-- GuardError         a run was stopped because a reward is being hacked

All but the last six are ``ValueError``: bad input, found before anything was computed.
"""


class ThinkwrightError(Exception):
    """The root: the command line prints its message alone, without a traceback."""


class RecipeError(ThinkwrightError, ValueError):
    """A recipe file or an override is wrong."""


class DataError(ThinkwrightError, ValueError):
    """A data file or a row of it is wrong."""


class ModelError(ThinkwrightError, ValueError):
    """A model folder or its tokenizer cannot be used."""


class RunFolderError(ThinkwrightError, ValueError):
    """A run folder cannot be created, written or continued."""


class GraderError(ThinkwrightError):
    """A grader failed or ran past its deadline; the run stops rather than reward zero."""


class EndpointError(ThinkwrightError):
    """A served model did not answer; names its address and the remedy."""


class RanksError(ThinkwrightError):
    """Trainer processes are too few, do not match, or lost each other; names the rank and the remedy."""


class GateError(ThinkwrightError):
    """The measured entry condition of a stage was not met."""


class TrainingError(ThinkwrightError):
    """Training reached a state it must not continue from."""


class GuardError(ThinkwrightError):
    """A run was stopped because a reward is being hacked; what it learned is kept in its checkpoints."""


def told_in_full(error: ThinkwrightError) -> str:
    """What went wrong, from the first on: an error that came while another was dealt with does not hide that one."""
    told, current = [str(error)], error.__cause__ or error.__context__
    is_told = error.__cause__ is not None  # what is raised from another error says what that was
    while current is not None:
        if isinstance(current, ThinkwrightError) and not is_told:
            told.append(str(current))
        is_told = current.__cause__ is not None
        current = current.__cause__ or current.__context__
    return "\nand then: ".join(reversed(told))

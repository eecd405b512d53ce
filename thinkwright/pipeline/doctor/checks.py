"""What the doctor concludes: a line for each thing that can go wrong, with what to do about it."""

from collections.abc import Sequence
from typing import Any

from thinkwright.models.policy import Policy
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.rows import Examined, Fault, RowResult
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.rewards.sandbox import PROCESS_NOTE
from thinkwright.types import Isolation, Prompt

MAX_BAD_SHARE = 0.005
"""A larger share of rows that fail stops the run; a smaller one is left out of it."""
FEW_ROWS = 5
"""A family of fewer rows may fail as a whole without stopping the run."""
MAX_UNFIT_SHARE = 0.05
MAX_STEP_SECONDS = 60.0
_BATCH = 1000


def answer_checks(results: Sequence[RowResult]) -> list[Check]:
    """Right answers earn full marks, wrong ones nothing."""
    with_reference = [result for result in results if result.has_reference]
    return [
        _share_check(
            "right answers",
            with_reference,
            ("gold",),
            "score full marks",
            "see the rows below: mend their gold answers, or take the verifier and template that fit them",
        ),
        _share_check(
            "format",
            with_reference,
            ("format",),
            "are well formed",
            "the template's own reply must earn the format reward: take another template, or mend this one",
        ),
        _share_check(
            "wrong answers",
            results,
            ("wrong",),
            "score nothing",
            "the verifier pays for answers that are not the gold: take a stricter one, or mend the rows below",
        ),
        *_hopeless_kinds(with_reference),
        *_unknown_references(len(results) - len(with_reference)),
    ]


def _share_check(name: str, results: Sequence[RowResult], faults: tuple[Fault, ...], good: str, remedy: str) -> Check:
    bad = [result for result in results if any(row.fault in faults for row in result.bad)]
    if not results:
        return Check(name, "warning", "no row has one to try")
    found = f"{len(results) - len(bad):,} of {len(results):,} ({1 - len(bad) / len(results):.2%}) {good}"
    if not bad:
        return Check(name, "ok", found)
    status = "failed" if len(bad) / len(results) > MAX_BAD_SHARE else "warning"
    return Check(name, status, found, remedy if status == "failed" else "these rows are left out of training")


def _hopeless_kinds(results: Sequence[RowResult]) -> list[Check]:
    """A small part of a mixture may fail as a whole without much of a share."""
    faults: dict[tuple[str, str], list[bool]] = {}
    for result in results:
        kind = result.prompt.family, result.prompt.verifier
        faults.setdefault(kind, []).append(any(row.fault == "gold" for row in result.bad))
    failing = [
        f"{family} ({verifier})" for (family, verifier), bad in faults.items() if sum(bad) > max(FEW_ROWS, len(bad)) / 2
    ]
    if not failing:
        return []
    found = f"most right answers score no full marks in {', '.join(failing)}"
    return [Check("families", "failed", found, "take the verifier that fits these rows, or leave the family out")]


def _unknown_references(count: int) -> list[Check]:
    if not count:
        return []
    found = f"{count:,} rows have none: whether they can be solved at all is not known"
    return [Check("reference answers", "warning", found, "give the rows a right answer (task.columns.reference)")]


def tokenizer_checks(results: Sequence[RowResult], policy: Policy, rows: Sequence[Prompt]) -> list[Check]:
    """Replies and prompts come out of the tokenizer as they went in."""
    replies = _share_check(
        "tokenizer",
        results,
        ("tokenizer",),
        "replies keep their marks and are not cut",
        "the model's tokenizer cannot write this template's replies: take another template or model",
    )
    changed = sum(result.is_changed for result in results)
    sample = rows[:_BATCH]
    lost = [prompt for prompt in sample if _round_trip(policy.tokenizer, prompt.text) != prompt.text]
    if replies.status == "ok" and (changed or lost):
        found = f"{changed:,} replies and {len(lost):,} of {len(sample):,} prompts are altered by encoding and decoding"
        remedy = "characters are lost; see that the tokenizer knows the task's script and symbols"
        return [Check("tokenizer", "warning", found, remedy)]
    return [replies]


def stop_token_check(policy: Policy) -> Check:
    """A completion can end: the tokenizer's end token is one token, the engine stops at it, the model can give it."""
    tokenizer, name = policy.tokenizer, "end token"
    text, token_id = tokenizer.eos_token, tokenizer.eos_token_id
    vocabulary = int(policy.head.shape[0])
    if token_id is None or not text:
        return Check(name, "failed", "the tokenizer has none", "set eos_token in the model folder's tokenizer files")
    if token_id not in policy.end_ids or token_id >= vocabulary:
        found = f"{text!r} has id {token_id}; the engine stops at {policy.end_ids}, the model has {vocabulary} tokens"
        return Check(name, "failed", found, "no completion would ever end: set eos_token to one the model has")
    encoded = tokenizer.encode(text, add_special_tokens=False)
    if encoded != [token_id]:
        found = f"{text!r} is encoded as {encoded[:8]}, not as its id {token_id}"
        return Check(name, "failed", found, "add it as a special token to the tokenizer")
    return Check(name, "ok", f"{text!r} (id {token_id}); completions end at {', '.join(map(str, policy.end_ids))}")


def context_check(policy: Policy, rows: Sequence[Prompt], max_tokens: int) -> Check:
    """The longest prompt and the longest completion fit the model's context."""
    lengths = [
        len(ids)
        for start in range(0, len(rows), _BATCH)
        for ids in policy.tokenizer([prompt.text for prompt in rows[start : start + _BATCH]], add_special_tokens=False)[
            "input_ids"
        ]
    ]
    longest = max(range(len(rows)), key=lengths.__getitem__)
    needed, limit = lengths[longest] + max_tokens, policy.max_positions
    found = f"longest prompt {lengths[longest]:,} tokens, with {max_tokens:,} for the reply {needed:,} of {limit:,}"
    if needed <= limit:
        return Check("context", "ok", found)
    most = limit - lengths[longest]
    remedy = f"lower rollout.max_response_tokens to {most}" if most > 0 else "shorten the prompts"
    return Check("context", "failed", f"{found} ({rows[longest].prompt_id})", f"{remedy}, or drop the long rows")


def length_check(results: Sequence[RowResult], max_tokens: int) -> Check:
    """Right replies with a one-line thought are within the limit."""
    with_reference = [result for result in results if result.has_reference]
    unfit = [result for result in with_reference if not result.fits]
    if not unfit:
        return Check("reply length", "ok", f"right replies fit into {max_tokens:,} tokens")
    share = len(unfit) / len(with_reference)
    found = f"{share:.1%} of the right replies need more than {max_tokens:,} tokens, even with hardly a thought"
    # Never a failure: a thought shorter than ours may fit, and small trials cut everything.
    if share <= MAX_UNFIT_SHARE:
        return Check("reply length", "ok", found)
    return Check("reply length", "warning", found, "raise rollout.max_response_tokens: a cut reply earns nothing")


def speed_check(examined: Examined, num_rollouts: int) -> Check:
    """What judging costs a step."""
    if not examined.num_verdicts:
        return Check("verifier speed", "warning", "nothing was judged")
    rate = examined.num_verdicts / max(examined.seconds, 1e-9)
    seconds = num_rollouts / rate
    found = f"{rate:,.0f} verdicts/s; a step of {num_rollouts:,} rollouts takes {seconds:.1f} s, beside sampling"
    if seconds <= MAX_STEP_SECONDS:
        return Check("verifier speed", "ok", found)
    return Check("verifier speed", "warning", found, "raise rewards.workers, or take fewer rollouts a step")


def isolation_checks(rows: Sequence[Prompt], isolation: Isolation) -> list[Check]:
    """How the programs of tasks that have some are kept from the machine."""
    if all(VERIFIERS[name].machine_problem is None for name in {prompt.verifier for prompt in rows}):
        return []
    if isolation == "bubblewrap":
        return [Check("isolation", "ok", "programs run in bubblewrap")]
    return [Check("isolation", "warning", PROCESS_NOTE, 'better: program_isolation = "bubblewrap"')]


def _round_trip(tokenizer: Any, text: str) -> str:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

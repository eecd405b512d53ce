"""A suite of ours in inspect-ai, judged by our verifiers: docs/evaluation.md has the commands."""

import asyncio
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState, generate

from examples.clients.grading import mark

SUITE = Path(__file__).parents[2] / "build" / "clients" / "suite.jsonl"


@scorer(metrics=[accuracy(), stderr()])
def by_rule() -> Scorer:
    """1 for a right answer; a reply that was cut is wrong, as in ``thinkwright eval``."""

    async def score(state: TaskState, target: Target) -> Score:
        reply = state.output.completion
        if state.output.stop_reason == "max_tokens":
            return Score(value=0.0, answer=reply)
        found = await asyncio.to_thread(mark, reply, state.metadata["verifier"], target.text)
        return Score(value=found, answer=reply)

    return score


@task
def suite(file: str = str(SUITE)) -> Task:
    """``file``: the whole path of what examples/clients/export_suite.py wrote, for inspect-ai works in this folder."""
    fields = FieldSpec(input="question", target="gold", id="id", metadata=["verifier", "family"])
    return Task(dataset=json_dataset(file, fields), solver=generate(), scorer=by_rule())

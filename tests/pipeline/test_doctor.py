"""The doctor finds what would make a reward silently zero, or paid for nothing, and passes what is sound."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.pipeline import broken_verifiers
from thinkwright import cli
from thinkwright.chat import template as templates
from thinkwright.chat.template import TEMPLATES, split_reply
from thinkwright.config.load import load_recipe
from thinkwright.config.recipe import RLRecipe
from thinkwright.config.rewards import RewardWeights
from thinkwright.errors import GateError, RunFolderError
from thinkwright.models.policy import Policy, load_policy
from thinkwright.models.shipped import resolve_model_name
from thinkwright.pipeline.checks import Check
from thinkwright.pipeline.doctor.checks import stop_token_check
from thinkwright.pipeline.doctor.examine import DoctorReport, examine
from thinkwright.pipeline.doctor.report import as_record, check_up
from thinkwright.pipeline.doctor.rewards import reward_checks
from thinkwright.pipeline.doctor.rows import THOUGHTS, Fitting, examine_rows
from thinkwright.pipeline.machine_check import examine_machine
from thinkwright.pipeline.record import record_data, task_digest
from thinkwright.rewards.pool import Job, Verdict, WorkerPool
from thinkwright.rewards.registry import VERIFIERS
from thinkwright.tasks.exclusion import WithoutPrompts
from thinkwright.tasks.prompts import load_task
from thinkwright.types import Prompt

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Rows:
    """A finite task of rows made by a test."""

    training: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...] = ()

    @property
    def report(self) -> dict[str, Any]:
        return {}

    def prompts(self, seed: int, step: int, count: int) -> list[Prompt]:
        return [replace(self.training[i % len(self.training)], prompt_id=f"row_{i}/epoch_0") for i in range(count)]

    def all_prompts(self) -> Sequence[Prompt]:
        return self.training + self.held_out

    def notes(self) -> list[str]:
        return []


def rows(count: int, template: str = "r1_zero", verifier: str = "number") -> Rows:
    return Rows(
        tuple(
            Prompt(
                f"row_{i}",
                f"{i}?",
                TEMPLATES[template].prompt(f"{i}?"),
                verifier,
                str(i),
                str(i),
                template,
                "n",
                1,
                "en",
            )
            for i in range(count)
        )
    )


class SeenError(Exception):
    """Ends what would be scored."""


@pytest.mark.parametrize("language", sorted(THOUGHTS))
def test_the_reply_that_is_cut_is_as_long_as_the_limit(language: str) -> None:
    tokenizer = load_policy(resolve_model_name("tiny-base"), device=CPU, dtype=torch.float32).tokenizer
    seen: list[Any] = []

    def score(groups: Any) -> Any:
        seen.extend(groups)
        raise SeenError

    prompts = [replace(prompt, language=language) for prompt in rows(2).training]
    with pytest.raises(SeenError):
        reward_checks(prompts, Fitting(tokenizer, frozenset(), 2048), score, RewardWeights())
    for _, _, rollouts in seen:
        repeated, cut = rollouts[-2:]
        assert cut.finish_reason == "length"
        assert len(cut.token_ids) == 2048 < len(repeated.token_ids)


def with_row(task: Rows, index: int, **changes: Any) -> Rows:
    changed = replace(task.training[index], **changes)
    return Rows((*task.training[:index], changed, *task.training[index + 1 :]))


def recipe(**rollout: Any) -> RLRecipe:
    settings = {"max_response_tokens": 200, "prompts_per_step": 4, **rollout}
    task = {"type": "rows", "path": "rows.jsonl", "held_out_path": "test.jsonl"}
    return RLRecipe.model_validate({"type": "rl", "model": "m", "task": task, "steps": 1, "rollout": settings})


@pytest.fixture(scope="module")
def policy(model_folder: Callable[[str], Path]) -> Policy:
    return load_policy(str(model_folder("qwen2")), device=CPU, dtype=torch.float32)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(1) as workers:
        yield workers


def check_of(report: DoctorReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def failed(report: DoctorReport) -> list[str]:
    return [check.name for check in report.checks if check.status == "failed"]


@pytest.mark.parametrize("template", ["r1_zero", "r1_zero_prefilled", "think_summary"])
def test_a_sound_recipe_passes_under_every_template_that_fits_its_verifier(
    policy: Policy, pool: WorkerPool, template: str
) -> None:
    report = examine(recipe(), policy, rows(50, template), pool)
    assert failed(report) == []
    assert report.bad_rows == ()
    assert report.num_examined == 50
    assert check_of(report, "right answers").found.startswith("50 of 50 (100.00%)")
    assert "verdicts/s" in check_of(report, "verifier speed").found


def test_the_tiny_world_passes_with_its_own_model(pool: WorkerPool) -> None:
    shipped = load_recipe("tiny/r1-zero")
    assert isinstance(shipped, RLRecipe)
    tiny = load_policy(resolve_model_name("tiny-base"), device=CPU, dtype=torch.float32)
    report = examine(shipped, tiny, load_task(shipped.task), pool)
    assert report.is_ok
    assert (report.num_rows, report.excluded) == (256, frozenset())


def test_a_template_under_which_no_reply_can_be_well_formed_is_caught(
    policy: Policy, pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The prompt gives <think>, and the format reward still wants to see it in the completion.
    blind = replace(TEMPLATES["r1_zero_prefilled"], split=split_reply)
    monkeypatch.setitem(templates.TEMPLATES, "r1_zero_prefilled", blind)
    report = examine(recipe(), policy, rows(30, "r1_zero_prefilled"), pool)
    assert "format" in failed(report)
    assert {row.fault for row in report.bad_rows} == {"format"}
    assert "take another template" in check_of(report, "format").remedy


def test_a_verifier_that_does_not_read_what_the_template_leaves_is_caught(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VERIFIERS, "number", broken_verifiers.READS_NO_BOX["number"])
    with WorkerPool(1, "tests.pipeline.broken_verifiers:READS_NO_BOX") as pool:
        report = examine(recipe(), policy, rows(30, "boxed"), pool)
    assert "right answers" in failed(report)
    assert check_of(report, "right answers").found.startswith("0 of 30")
    assert "number does not accept" in report.bad_rows[0].reason


def test_one_bad_gold_in_many_is_left_out_and_one_in_few_stops_the_run(policy: Policy, pool: WorkerPool) -> None:
    many = examine(recipe(), policy, with_row(rows(400), 7, gold="12"), pool)
    assert many.is_ok
    assert check_of(many, "right answers").status == "warning"
    assert many.excluded == {"row_7"}
    (bad,) = many.bad_rows
    assert (bad.fault, bad.gold, bad.score) == ("gold", "12", 0.0)
    assert "<answer> 7 </answer>" in bad.reply
    few = examine(recipe(), policy, with_row(rows(40), 7, gold="12"), pool)
    assert failed(few) == ["right answers"]


def test_a_gold_that_the_verifier_cannot_read_is_named_with_its_reason(policy: Policy, pool: WorkerPool) -> None:
    report = examine(recipe(), policy, with_row(rows(400), 3, gold="x"), pool)
    assert report.excluded == {"row_3"}
    assert any("skipped" in row.reason for row in report.bad_rows)


def test_a_large_set_is_sampled_and_examined_whole_once_a_row_fails(policy: Policy, pool: WorkerPool) -> None:
    sound = examine(recipe(), policy, rows(2500), pool)
    assert (sound.num_examined, sound.num_rows) == (500, 2500)
    bad = rows(2500)
    for i in range(1, 2500, 250):
        bad = with_row(bad, i, reference="none")
    found = examine(recipe(), policy, bad, pool)
    assert found.num_examined == 2500
    assert found.is_ok
    assert found.excluded == {f"row_{i}" for i in range(1, 2500, 250)}
    assert examine(recipe(), policy, rows(2500), pool, examine_all=True).num_examined == 2500


def test_every_kind_of_row_of_a_large_mixture_is_in_the_sample(policy: Policy, pool: WorkerPool) -> None:
    large = rows(2500)
    rare = tuple(replace(p, prompt_id=f"rare_{i}", family="rare", gold="x") for i, p in enumerate(large.training[:3]))
    report = examine(recipe(), policy, Rows(large.training + rare), pool)
    assert {f"rare_{i}" for i in range(3)} <= report.excluded


class WithoutBraces:
    """A tokenizer that has no braces."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def __call__(self, texts: list[str], **options: Any) -> Any:
        return self.inner([self._without(text) for text in texts], **options)

    def encode(self, text: str, **options: Any) -> list[int]:
        return self.inner.encode(self._without(text), **options)

    def _without(self, text: str) -> str:
        return text.replace("{", "").replace("}", "")


def test_a_tokenizer_that_drops_braces_is_caught_by_the_box_it_breaks(policy: Policy, pool: WorkerPool) -> None:
    broken = replace(policy, tokenizer=WithoutBraces(policy.tokenizer))
    report = examine(recipe(), broken, rows(20, "boxed"), pool)
    assert "tokenizer" in failed(report)
    assert any("does not give the template's marks back" in row.reason for row in report.bad_rows)


def test_a_tokenizer_that_drops_characters_of_questions_only_is_a_warning(policy: Policy, pool: WorkerPool) -> None:
    broken = replace(policy, tokenizer=WithoutBraces(policy.tokenizer))
    task = with_row(rows(20), 4, text="a set {1, 2}")
    check = check_of(examine(recipe(), broken, task, pool), "tokenizer")
    assert check.status == "warning"
    assert "1 of 20 prompts" in check.found


def test_an_answer_that_holds_the_end_token_would_be_cut_and_is_caught(policy: Policy, pool: WorkerPool) -> None:
    report = examine(recipe(), policy, with_row(rows(300, verifier="words"), 5, reference="5 <|endoftext|>"), pool)
    assert any("holds an end token" in row.reason for row in report.bad_rows)
    assert report.excluded == {"row_5"}


def test_a_verifier_that_says_yes_to_everything_is_caught(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERIFIERS, "number", broken_verifiers.SAYS_YES["number"])
    with WorkerPool(1, "tests.pipeline.broken_verifiers:SAYS_YES") as pool:
        report = examine(recipe(), policy, rows(20), pool)
    assert "wrong answers" in failed(report)
    assert {row.fault for row in report.bad_rows} == {"wrong"}


def test_a_verifier_that_raises_is_named_with_its_error(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERIFIERS, "number", broken_verifiers.RAISES["number"])
    with WorkerPool(1, "tests.pipeline.broken_verifiers:RAISES") as pool:
        report = examine(recipe(), policy, rows(20), pool)
    assert "right answers" in failed(report)
    assert "cannot judge 7" in " ".join(row.reason for row in report.bad_rows)


def test_a_row_on_which_the_verifier_hangs_costs_its_deadline_and_is_left_out(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VERIFIERS, "number", broken_verifiers.HANGS["number"])
    start = time.monotonic()
    with WorkerPool(1, "tests.pipeline.broken_verifiers:HANGS") as pool:
        report = examine(recipe(), policy, rows(300), pool)
    assert time.monotonic() - start < 60
    assert report.is_ok
    assert report.excluded == {"row_7"}
    assert "timeout" in report.bad_rows[0].reason


def test_prompts_and_replies_must_fit_the_context(policy: Policy, pool: WorkerPool) -> None:
    report = examine(recipe(max_response_tokens=1000), policy, rows(20), pool)
    check = check_of(report, "context")
    assert check.status == "failed"
    assert "of 1,024" in check.found
    assert "lower rollout.max_response_tokens to" in check.remedy


def test_right_replies_must_fit_the_limit(policy: Policy, pool: WorkerPool) -> None:
    report = examine(recipe(max_response_tokens=10), policy, rows(20), pool)
    assert check_of(report, "reply length").status == "warning"
    assert "100.0% of the right replies need more than 10 tokens" in check_of(report, "reply length").found


def with_rewards(**rewards: Any) -> RLRecipe:
    return RLRecipe.model_validate({**recipe().model_dump(), "rewards": rewards})


def test_every_reward_with_a_weight_is_tried_on_replies_that_differ(policy: Policy, pool: WorkerPool) -> None:
    settings = with_rewards(language=1.0, repetition=1.0, overlong=1.0, cosine_length=1.0)
    report = examine(settings, policy, rows(20), pool)
    names = [check.name for check in report.checks if check.name.endswith(" reward")]
    assert names == [
        f"{n} reward" for n in ("accuracy", "format", "language", "overlong", "repetition", "cosine_length")
    ]
    assert {check_of(report, name).status for name in names} == {"ok"}
    assert "right 1, wrong 0" in check_of(report, "accuracy reward").found
    assert "thought in another language 0" in check_of(report, "language reward").found


def test_a_reward_that_is_the_same_for_every_reply_or_fails_is_caught(policy: Policy, pool: WorkerPool) -> None:
    custom = [
        {"function": "tests.pipeline.broken_verifiers:always_one"},
        {"function": "tests.pipeline.broken_verifiers:divides_by_zero"},
    ]
    report = examine(with_rewards(custom=custom), policy, rows(20), pool)
    constant = check_of(report, "tests.pipeline.broken_verifiers:always_one reward")
    assert (constant.status, constant.found[:27]) == ("warning", "gave 1 to every reply that ")
    broken = check_of(report, "tests.pipeline.broken_verifiers:divides_by_zero reward")
    assert broken.status == "failed"
    assert "ZeroDivisionError" in broken.found


def test_a_small_trial_that_cuts_every_reply_may_start(policy: Policy, pool: WorkerPool) -> None:
    assert examine(recipe(max_response_tokens=12), policy, rows(20), pool).is_ok


def fake_policy(eos_token: str | None, eos_id: int | None, end_ids: tuple[int, ...], encoded: list[int]) -> Any:
    tokenizer = SimpleNamespace(eos_token=eos_token, eos_token_id=eos_id, encode=lambda *_, **__: encoded)
    return SimpleNamespace(tokenizer=tokenizer, end_ids=end_ids, head=torch.zeros(100, 4))


def test_an_end_token_that_cannot_end_anything_is_caught(policy: Policy) -> None:
    assert stop_token_check(policy).status == "ok"
    assert stop_token_check(fake_policy(None, None, (5,), [])).status == "failed"
    assert "the engine stops at (5,)" in stop_token_check(fake_policy("<end>", 7, (5,), [7])).found
    assert "the model has 100 tokens" in stop_token_check(fake_policy("<end>", 100, (100,), [100])).found
    assert "is encoded as [1, 2]" in stop_token_check(fake_policy("<end>", 7, (7,), [1, 2])).found


def test_rows_without_a_known_answer_are_counted(policy: Policy, pool: WorkerPool) -> None:
    report = examine(recipe(), policy, with_row(rows(20), 3, reference=""), pool)
    assert report.is_ok
    assert report.bad_rows == ()
    assert check_of(report, "reference answers").found.startswith("1 rows have none")


def test_a_run_is_refused_with_examples_or_goes_on_without_the_bad_rows(
    policy: Policy, pool: WorkerPool, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match=r"right answers: 39 of 40") as refused:
        check_up(recipe(), policy, with_row(rows(40), 7, gold="12"), pool, tmp_path)
    assert "row_7 (gold, score 0)" in str(refused.value)
    assert "mend their gold answers" in str(refused.value)
    task = with_row(rows(400), 7, gold="12")
    found = check_up(recipe(), policy, task, pool, tmp_path)
    assert isinstance(found.task, WithoutPrompts)
    assert "row_7" not in {p.prompt_id for p in found.task.all_prompts()}
    assert any("left out of training" in note for note in found.notes)
    (tmp_path / "doctor.json").write_text(json.dumps(found.record))
    again = check_up(recipe(), policy, rows(400), pool, tmp_path)
    assert isinstance(again.task, WithoutPrompts)
    assert again.task.row_ids == {"row_7"}, "a resumed run leaves out what it left out before"


def test_the_same_recipe_gives_the_same_findings(policy: Policy, pool: WorkerPool) -> None:
    task = with_row(rows(3000), 7, gold="12")
    first, second = (as_record(examine(recipe(), policy, task, pool)) for _ in range(2))
    assert first["bad_rows"] == second["bad_rows"]
    assert first["num_examined"] == second["num_examined"]


def test_this_machine_is_examined() -> None:
    names = {check.name: check for check in examine_machine()}
    assert {
        "python",
        "torch",
        "transformers",
        "processor",
        "memory",
        "matrix products",
        "compiler",
        "bubblewrap",
    } <= set(names)
    assert names["python"].status == "ok"
    assert all(check.remedy for check in names.values() if check.status != "ok")


def test_the_command_shows_the_table_and_says_by_its_exit_code_whether_a_run_may_start(
    model_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for part, count in (("train", 40), ("test", 3)):
        made = [
            {"question": f"What is {part} {i} + {i}?", "answer": f"{2 * i}", "ref": f"{2 * i}"} for i in range(count)
        ]
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    text = (
        f'type = "rl"\nmodel = "{model_folder("qwen2")}"\nsteps = 1\n[task]\ntype = "rows"\n'
        f'path = "{tmp_path}/train.jsonl"\nheld_out_path = "{tmp_path}/test.jsonl"\n[rollout]\nprompts_per_step = 4\n'
    )
    (tmp_path / "good.toml").write_text(text)
    assert cli.main(["doctor", str(tmp_path / "good.toml"), "machine.dtype=float32"]) == 0
    assert "right answers" in capsys.readouterr().out
    out = tmp_path / "doctor.json"
    bad = ["doctor", str(tmp_path / "good.toml"), "machine.dtype=float32", "task.columns.reference=question"]
    assert cli.main([*bad, "--out", str(out)]) == 1
    assert "row" in capsys.readouterr().out
    record = json.loads(out.read_text())
    assert not record["is_ok"]
    assert len(record["excluded"]) == 43


def test_help_of_the_new_verbs_needs_no_torch() -> None:
    code = (
        "import sys; from thinkwright.cli import main\n"
        "for verb in ('doctor', 'difficulty'):\n"
        "    try: main([verb, '--help'])\n"
        "    except SystemExit: pass\n"
        "assert main(['doctor', 'tiny/r1-zero', 'steps=x']) == 1\n"
        "assert 'torch' not in sys.modules and 'rich' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_small_family_that_fails_as_a_whole_stops_the_run(policy: Policy, pool: WorkerPool) -> None:
    small = tuple(
        replace(prompt, prompt_id=f"other_{i}", family="other", gold="no")
        for i, prompt in enumerate(rows(8, verifier="words").training)
    )
    report = examine(recipe(), policy, Rows(rows(1990).training + small), pool)
    assert check_of(report, "right answers").status == "warning"
    assert failed(report) == ["families"]
    assert "other (words)" in check_of(report, "families").found


def test_an_answer_that_could_not_be_graded_is_graded_once_more(policy: Policy) -> None:
    class Busy:
        """Too slow for one answer, once."""

        def __init__(self) -> None:
            self.num_calls = 0

        def grade(self, jobs: Sequence[Job]) -> list[Verdict]:
            self.num_calls += 1
            is_late = self.num_calls == 1
            return [
                Verdict(None, "timeout")
                if is_late and job.gold == job.answer == "7"
                else Verdict(float(job.answer == job.gold), "graded")
                for job in jobs
            ]

    grader = Busy()
    fitting = Fitting(policy.tokenizer, frozenset(policy.end_ids), 200)
    examined = examine_rows(rows(20).training, fitting, grader, 60.0)
    assert grader.num_calls == 2
    assert not any(result.bad for result in examined.results)


def test_a_resumed_run_must_have_the_data_it_began_with(tmp_path: Path) -> None:
    record_data(tmp_path, task_digest(rows(20)), {"rows": 20})
    record_data(tmp_path, task_digest(rows(20)), {"rows": 20})
    with pytest.raises(RunFolderError, match=r"data.json: the run began with other data .* put back what"):
        record_data(tmp_path, task_digest(with_row(rows(20), 3, gold="12")), {"rows": 20})
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"data.json: cannot be read"):
        record_data(tmp_path, task_digest(rows(20)), {"rows": 20})


def test_the_doctor_refuses_what_a_run_would_refuse(model_folder: Callable[[str], Path], capsys) -> None:
    given = [
        f"model={model_folder('qwen2')}",
        "task={type='tiny_world'}",
        "rewards.custom=[{function='no.such:thing'}]",
    ]
    assert cli.main(["doctor", "tiny/r1-zero", *given]) == 1
    assert "rewards.custom[0].function: no.such:thing" in capsys.readouterr().err

"""Each alarm speaks on the history it is made for, once, and is silent on a healthy one."""

import json
from pathlib import Path
from typing import Any

from thinkwright.chat.template import TEMPLATES
from thinkwright.config.alarms import AlarmLimits
from thinkwright.training.alarms import QUIET_STEPS, Alarms
from thinkwright.types import Prompt, Rollout, RolloutGroup, ScoredRollout

REWARDS = ("accuracy", "format")


def row(**changes: float) -> dict[str, float]:
    """The metrics of a healthy step."""
    healthy = {
        "reward/accuracy": 0.5, "reward/format": 0.9, "reward/total": 1.4, "reward/failed": 0.0, "reward/timeouts": 0.0,
        "rollout/response_tokens": 200.0, "rollout/truncated_rate": 0.05,
    }  # fmt: skip
    return healthy | {name.replace("__", "/"): value for name, value in changes.items()}


def spoken(rows: list[dict[str, float]], groups: tuple[RolloutGroup, ...] = (), **limits: Any) -> dict[int, list[str]]:
    """Texts by step, where there were any."""
    alarms = Alarms(AlarmLimits(**limits), REWARDS)
    found = {step: alarms.check(step, metrics, groups) for step, metrics in enumerate(rows)}
    return {step: texts for step, texts in found.items() if texts}


def figures(accuracy: float, standard_error: float = 0.01) -> dict[str, float]:
    return {"accuracy": accuracy, "accuracy_standard_error": standard_error}


def group(name: str, text: str, reward: float, template: str = "r1_zero") -> RolloutGroup:
    question = "What is 2 + 2?"
    prompt = Prompt(name, question, TEMPLATES[template].prompt(question), "number", "4", "4", template, "sums", 1, "en")
    rollout = Rollout((1,), (0.0,), (0.0,), (False,), text, "stop", 0)
    return RolloutGroup(prompt, (1,), (ScoredRollout(rollout, {"accuracy": 0.0, "format": reward}, reward),))


def test_a_healthy_run_hears_nothing() -> None:
    assert spoken([row(reward__accuracy=0.1 + step / 100) for step in range(80)]) == {}


def test_a_reward_that_is_zero_for_all_is_reported_once_with_the_answer_that_was_read() -> None:
    groups = (group("sums/1", "<think>hm</think> <answer>5</answer>", 1.0),)
    found = spoken([row(reward__accuracy=0.0)] * 60, groups)
    assert list(found) == [9]
    (text,) = found[9]
    assert "accuracy reward was 0" in text
    assert "doctor" in text
    assert "sums/1" in text
    assert "'5'" in text


def test_zero_for_fewer_steps_than_the_limit_is_no_alarm() -> None:
    assert spoken([row(reward__accuracy=0.0 if step % 10 else 0.01) for step in range(60)]) == {}


def test_a_format_reward_that_can_never_be_earned_is_reported() -> None:
    (texts,) = spoken([row(reward__format=0.0)] * 30).values()
    assert "format reward was 0" in texts[0]


def test_a_penalty_that_is_never_due_is_no_alarm() -> None:
    alarms = Alarms(AlarmLimits(), ("accuracy", "overlong"), penalties=("overlong",))
    assert not any(alarms.check(step, row(reward__overlong=0.0), ()) for step in range(40))


def test_accuracy_that_is_full_for_all_is_reported() -> None:
    (texts,) = spoken([row()] * 5 + [row(reward__accuracy=1.0)] * 12).values()
    assert "every rollout of the last 10 steps was right" in texts[0]


def test_a_learned_format_is_no_alarm_but_one_full_from_the_start_is() -> None:
    assert spoken([row()] * 3 + [row(reward__format=1.0)] * 40) == {}
    (texts,) = spoken([row(reward__format=1.0)] * 40).values()
    assert "since the first step" in texts[0]


def test_verifier_errors_and_timeouts_over_the_limit_are_reported_apart() -> None:
    (texts,) = spoken([row(reward__failed=0.02)] * 9).values()
    assert "2.0% of the verdicts" in texts[0]
    assert "failed" in texts[0]
    (texts,) = spoken([row(reward__timeouts=0.02)] * 9).values()
    assert "deadline" in texts[0]
    assert spoken([row(reward__failed=0.009, reward__timeouts=0.009)] * 9) == {}


def test_a_sampler_that_drifts_from_the_trainer_is_reported() -> None:
    (texts,) = spoken([row(policy__logprob_gap=0.03)] * 9).values()
    assert "0.030 nats a token from the trainer's" in texts[0]
    assert spoken([row(policy__logprob_gap=0.09 if step == 7 else 0.001) for step in range(30)]) == {}


def test_truncation_over_the_limit_is_reported_but_not_one_bad_step() -> None:
    (texts,) = spoken([row(rollout__truncated_rate=0.7)] * 30).values()
    assert "max_response_tokens" in texts[0]
    assert spoken([row(rollout__truncated_rate=0.9 if step == 7 else 0.1) for step in range(30)]) == {}


def test_a_collapse_of_the_length_is_reported_with_the_most_rewarded_completions() -> None:
    lengths = [511.0] * 20 + [46.0] * 20
    groups = (group("sums/1", "poor", 0.5), group("sums/2", "\\boxed{4}", 2.0))
    found = spoken([row(rollout__response_tokens=length) for length in lengths], groups)
    (text,) = [text for texts in found.values() for text in texts]
    assert "collapsed" in text
    assert text.index("sums/2") < text.index("sums/1")
    assert "'\\\\boxed{4}'" in text


def test_slow_growth_or_a_policy_that_learns_to_end_is_no_collapse() -> None:
    assert spoken([row(rollout__response_tokens=100.0 + step) for step in range(60)]) == {}
    rambling = [row(rollout__response_tokens=190.0, rollout__truncated_rate=0.9)] * 10
    ends = [row(rollout__response_tokens=40.0, rollout__truncated_rate=0.0)] * 30
    texts = [text for texts in spoken(rambling + ends).values() for text in texts]
    assert len(texts) == 1
    assert "cut at the limit" in texts[0]


def test_reward_up_while_held_out_accuracy_falls_is_reported_once_with_examples() -> None:
    alarms = Alarms(AlarmLimits(), REWARDS)
    assert alarms.check_evaluation(0, figures(0.5)) == []
    groups = (group("sums/1", "<answer>4</answer>" * 200, 2.0),)
    said: list[str] = []
    for step in range(60):
        assert alarms.check(step, row(reward__total=1.0 + step / 100), groups) == []
        if step % 20 == 19:
            said += alarms.check_evaluation(step + 1, figures(0.5 - step / 200))
    (text,) = said
    assert "held-out accuracy fell from 50.0% (step 0)" in text
    assert "sums/1 (reward 2: accuracy 0, format 2)" in text
    assert " ... " in text, "a long completion is shown by its ends"


def test_a_fall_within_noise_or_with_the_reward_is_no_hack() -> None:
    noisy = Alarms(AlarmLimits(), REWARDS)
    noisy.check_evaluation(0, figures(0.5, 0.05))
    worse = Alarms(AlarmLimits(), REWARDS)
    worse.check_evaluation(0, figures(0.5))
    for step in range(20):
        noisy.check(step, row(reward__total=1.0 + step / 100), ())
        worse.check(step, row(reward__total=1.5 - step / 100), ())
    assert noisy.check_evaluation(20, figures(0.42, 0.05)) == []
    assert worse.check_evaluation(20, figures(0.2)) == []


def test_an_alarm_that_flickers_speaks_once_and_again_only_after_a_quiet_time() -> None:
    bad, good = row(rollout__truncated_rate=0.9), row(rollout__truncated_rate=0.0)
    flickering = ([bad] * 5 + [good] * 5) * 4
    assert len(spoken(flickering)) == 1
    assert len(spoken([bad] * 5 + [good] * (QUIET_STEPS + 5) + [bad] * 5)) == 2


def test_a_resumed_run_says_what_the_whole_run_would_have_said(tmp_path: Path) -> None:
    lengths = [500.0] * 10 + [20.0] * 30
    rows = [row(rollout__response_tokens=length, reward__total=1 + step / 50) for step, length in enumerate(lengths)]
    whole = Alarms(AlarmLimits(), REWARDS)
    (tmp_path / "eval").mkdir()
    said: dict[int, list[str]] = {}
    for step, metrics in enumerate(rows):
        if step % 10 == 0:
            found = figures(0.6 - step / 100)
            said[step] = whole.check_evaluation(step, found)
            (tmp_path / f"eval/step_{step:06d}.json").write_text(json.dumps({"step": step, "figures": found}))
        said[step] = said.get(step, []) + whole.check(step, metrics, ())
    for stop in (0, 5, 12, 13, 14, 20, 25, 30, 39):
        lines = [json.dumps({"step": step, **metrics}) + "\n" for step, metrics in enumerate(rows[:stop])]
        folder = tmp_path / f"stop_{stop}"
        (folder / "eval").mkdir(parents=True)
        (folder / "metrics.jsonl").write_text("".join(lines))
        for path in (tmp_path / "eval").iterdir():
            if int(path.stem.removeprefix("step_")) < stop:
                (folder / "eval" / path.name).write_text(path.read_text())
        resumed = Alarms(AlarmLimits(), REWARDS)
        resumed.replay(folder)
        for step in range(stop, len(rows)):
            texts = resumed.check_evaluation(step, figures(0.6 - step / 100)) if step % 10 == 0 else []
            assert texts + resumed.check(step, rows[step], ()) == said[step]


def test_a_likely_hack_is_reported_once_however_rarely_the_run_is_evaluated() -> None:
    alarms = Alarms(AlarmLimits(), REWARDS)
    said: list[int] = []
    for step in range(0, 200, 25):
        said += [step] * len(alarms.check_evaluation(step, figures(0.3 if step else 0.6)))
        for i in range(step, step + 25):
            alarms.check(i, row(reward__total=1 + i / 100), ())
    assert said == [25]

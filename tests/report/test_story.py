import pytest

from thinkwright.report.series import Run
from thinkwright.report.story import headline, how_it_learned


def _run(before=0.28, after=0.60, tokens=(16, 32), error=0.02, rewards=None, baselines=None, steps=200):
    weights = {"accuracy": 1.0, "format": 1.0, "random": 0.0} | (rewards or {})
    figures = [
        {"accuracy": accuracy, "mean_response_tokens": length, "accuracy_standard_error": error}
        for accuracy, length in zip((before, after), tokens, strict=True)
    ]
    summary = {"before": figures[0], "after": figures[1], "steps": steps, "wall_seconds": 540.0}
    recipe = {"steps": 200, "rewards": weights, "rollout": {"prompts_per_step": 32, "group_size": 16}}
    return Run("zero", recipe, {}, (), (), baselines or {}, summary, ())


def test_a_model_that_learned_to_think_is_told_in_one_sentence():
    assert headline(_run()) == (
        "A model that mostly guessed learned to think first: 28% \u2192 60% of held-out questions right, "
        "in 9 minutes on this machine, by reward alone."
    )


@pytest.mark.parametrize("after", [0.28, 0.32, 0.25])
def test_less_than_five_points_is_no_improvement(after):
    assert headline(_run(after=after)).startswith("The model did not clearly improve: 28% \u2192")


def test_five_points_within_the_noise_are_not_claimed():
    told = headline(_run(after=0.36, error=0.04))
    assert "chance alone could do as much" in told
    assert "learned" not in told


def test_a_loss_is_told_as_a_loss():
    assert headline(_run(after=0.10)).startswith("The model got worse: 28% \u2192 10%")


def test_better_without_longer_responses_is_not_called_thinking():
    told = headline(_run(tokens=(32, 30)))
    assert told.startswith("A model got better without longer responses")
    assert "think" not in told


def test_a_base_that_already_went_step_by_step_did_not_mostly_guess():
    baselines = {"bare": {"accuracy": 0.05}, "forced": {"accuracy": 0.30}}
    assert "guessed" not in headline(_run(baselines=baselines))
    assert "guessed" in headline(_run(baselines={"bare": {"accuracy": 0.25}, "forced": {"accuracy": 0.70}}))
    assert "guessed" not in headline(_run(before=0.6, after=0.9))


def test_random_rewards_are_told_as_a_control_whatever_came_out():
    rewards = {"accuracy": 0.0, "format": 0.0, "random": 1.0}
    still, gained = (headline(_run(after=after, rewards=rewards)) for after in (0.29, 0.60))
    assert still.startswith("Control run, rewarded by the toss of a coin: it did not clearly change")
    assert gained.startswith("Control run, rewarded by the toss of a coin, and yet")
    assert "learned" not in still + gained


def test_rewards_for_form_alone_are_told_as_such():
    assert headline(_run(rewards={"accuracy": 0.0})).startswith("A run rewarded for form alone")


def test_an_unfinished_run_says_how_far_it_is():
    assert headline(_run(steps=120)).startswith("Not finished (120 of 200 steps), so far: A model")


def test_without_two_evaluations_nothing_is_compared():
    empty = Run("zero", {}, {}, (), (), {}, {}, ())
    assert headline(empty).startswith("Nothing to tell yet")
    only_before = Run("zero", {}, {}, (), (), {}, {"before": {"accuracy": 0.3}}, ())
    assert headline(only_before).startswith("Nothing to compare yet: 30%")


def test_the_method_is_told_with_the_numbers_of_the_run():
    told = how_it_learned(_run(rewards={"format": 0.5}))
    assert "In each of 200 steps it read 32 questions and wrote 16 responses to each" in told
    assert "1 point for a right answer and 0.5 points for keeping" in told
    assert "coin" not in told
    assert "by the toss of a coin" in how_it_learned(_run(rewards={"accuracy": 0.0, "format": 0.0, "random": 1.0}))


def test_every_reward_is_told_with_its_points():
    rewards = {"language": 0.5, "overlong": 1.0, "custom": [{"function": "mine:brevity", "weight": 2.0}]}
    told = how_it_learned(_run(rewards=rewards))
    assert (
        "gave every response 1 point for a right answer, 1 point for keeping thought and answer apart in the form "
        "asked for, 0.5 points for thinking in the right language, 1 point off for coming near the length limit and "
        "2 points by mine:brevity."
    ) in told


def test_reward_models_are_told_with_their_first_step_and_shares():
    run = _run()
    assert "Reward models" not in how_it_learned(run)
    run.recipe["general"] = {"first_step": 150, "weight": 2.0, "helpful": {"share": 0.3}, "harmless": {"share": 0.1}}
    told = how_it_learned(run)
    assert "After 150 steps reward models" in told
    assert "30% by how helpful the summary is and 10% by how harmless the whole response is, for up to 2 p" in told
    run.recipe["general"] = {"first_step": 0, "weight": 1.0, "helpful": {"share": 0.3}, "harmless": None}
    assert "Reward models" in how_it_learned(run)
    assert "30% by how helpful the summary is, for up to 1 point" in how_it_learned(run)


def test_a_run_rewarded_by_a_function_is_not_called_one_for_form_alone():
    rewards = {"accuracy": 0.0, "custom": [{"function": "mine:checker", "weight": 1.0}]}
    assert headline(_run(rewards=rewards)).startswith("A run rewarded by a function of its own: 28%")


def test_rejection_sampling_is_told_by_what_was_kept():
    recipe = {"type": "rejection_sample", "steps": 2}
    done = Run("data", recipe, {}, (), (), {}, {"after": {"examples": 120, "sampled": 4096}, "steps": 2}, ())
    assert headline(done) == "120 of 4,096 sampled responses were right, readable and kept."
    assert "No model was changed" in how_it_learned(done)
    assert (
        headline(Run("data", recipe, {}, ({"step": 0},), (), {}, {}, ())) == "Not finished: 1 of 2 steps of sampling."
    )

"""Sums, gates and normalisation, by numbers worked out by hand; and settings without effect."""

import pytest
from pydantic import ValidationError

from thinkwright.config.load import load_recipe
from thinkwright.config.rewards import CustomReward, RewardWeights
from thinkwright.errors import RecipeError
from thinkwright.rewards.combine import combine, penalties

FUNCTION = "package.module:function"


def test_the_sum_is_weighted_and_penalties_take_away() -> None:
    rewards = RewardWeights(accuracy=2, format=0.5, overlong=0.25)
    group = [{"accuracy": 1.0, "format": 1.0, "overlong": -0.5}, {"accuracy": 0.0, "format": 1.0, "overlong": 0.0}]
    assert combine(group, rewards) == [2.5 - 0.125, 0.5]
    assert combine([], rewards) == []


def test_a_reward_that_is_held_back_counts_only_in_a_right_answer_and_the_score_stays() -> None:
    rewards = RewardWeights(
        language=1.0, custom=(CustomReward(function=FUNCTION),), paid_only_when_correct=("format", FUNCTION)
    )
    group = [{"accuracy": accuracy, "format": 1.0, "language": 0.5, FUNCTION: 3.0} for accuracy in (1.0, 0.99, 0.0)]
    assert combine(group, rewards) == pytest.approx([5.5, 1.49, 0.5])
    assert group[2]["format"] == 1.0


def test_scores_without_a_weight_are_left_out_of_the_sum() -> None:
    assert combine([{"accuracy": 1.0, "format": 1.0}], RewardWeights(format=0.0)) == [1.0]


def test_each_reward_is_normalised_in_its_group_before_it_is_weighted() -> None:
    rewards = RewardWeights(accuracy=1, format=0.5, normalize="per_reward")
    group = [{"accuracy": a, "format": f} for a, f in ((1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (0.0, 1.0))]
    # accuracy: mean 1/4, deviation sqrt(3)/4; format: mean 3/4, the same deviation.
    high, low = 3**0.5, -1 / 3**0.5
    expected = [high - 0.5 * low, low - 0.5 * low, low - 0.5 * high, low - 0.5 * low]
    assert combine(group, rewards) == pytest.approx(expected)


def test_a_reward_that_is_the_same_for_all_is_normalised_to_nothing() -> None:
    rewards = RewardWeights(normalize="per_reward")
    assert combine([{"accuracy": 0.3, "format": 1.0}] * 3, rewards) == [0.0] * 3


def test_gates_come_before_normalisation() -> None:
    rewards = RewardWeights(accuracy=0.0, language=1.0, normalize="per_reward", paid_only_when_correct=("format",))
    group = [{"accuracy": a, "format": 1.0, "language": 1.0} for a in (1.0, 0.0)]
    assert combine(group, rewards) == pytest.approx([1.0, -1.0])


def test_members_that_are_left_out_are_no_part_of_means_and_deviations() -> None:
    rewards = RewardWeights(overlong=1.0, format=0, normalize="per_reward")
    group = [{"accuracy": 1.0, "overlong": -0.1}, {"accuracy": 0.0, "overlong": 0.0}]
    cut = [{"accuracy": 0.0, "overlong": -1.0}] * 2
    found = combine([*group, *cut], rewards, [True, True, False, False])
    assert found[:2] == pytest.approx([0.0, 0.0])
    assert found[:2] == pytest.approx(combine(group, rewards))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accuracy": 0, "format": 0}, "all reward weights are 0"),
        ({"language_target": "en"}, "language_target has no effect with language = 0"),
        ({"overlong_buffer_tokens": 5}, "overlong_buffer_tokens has no effect with overlong = 0"),
        ({"repetition_ngram": 5}, "repetition_ngram has no effect with repetition = 0"),
        ({"lazy_length_from": 0.5}, "lazy_length_from has no effect with lazy_length = 0"),
        ({"target_length_tokens": 50}, "target_length_tokens has no effect with target_length = 0"),
        ({"target_length": 1}, "target_length needs target_length_tokens"),
        ({"paid_only_when_correct": ("language",)}, "language has weight 0"),
        ({"paid_only_when_correct": ("accuracy",)}, "'accuracy' cannot be held back; use some of format, language"),
        ({"format": 0, "normalize": "per_reward"}, "normalize has no effect on a single reward"),
        ({"custom": ({"function": FUNCTION}, {"function": FUNCTION})}, "names a function twice"),
        ({"custom": ({"function": FUNCTION, "weight": 0},)}, "gives the function no effect"),
        ({"custom": ({"function": "package.module"},)}, "function"),
        ({"overlong": -1}, "overlong"),
        ({"workers": 0}, "workers"),
        ({"max_error_share": 2}, "max_error_share"),
    ],
)
def test_settings_without_effect_and_wrong_ones_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RewardWeights.model_validate(settings)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("rewards.custom=[{function='no colon'}]", ["rewards.custom[0].function", "package.module:function"]),
        ("rewards.custom=[{function='a.b:c', wieght=2}]", ["rewards.custom[0].wieght", "did you mean", "weight"]),
        ("rewards.langauge=1", ["rewards.langauge", "did you mean rewards.language"]),
        ("rewards.normalize=all", ["rewards.normalize", "'none' or 'per_reward'"]),
        ("rewards.paid_only_when_correct=format", ["expected a list"]),
        ("template=r1zero", ["template", "did you mean r1_zero"]),
        ("curriculum.low=0.5", ["curriculum has no effect on the tiny world"]),
    ],
)
def test_a_recipe_names_the_key_and_the_remedy(override: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("tiny/r1-zero", [override])
    assert all(part in str(caught.value) for part in parts), str(caught.value)


def test_a_buffer_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"overlong_buffer_tokens = 500 is over rollout\.max_response_tokens = 192"):
        load_recipe("tiny/r1-zero", ["rewards.overlong=1", "rewards.overlong_buffer_tokens=500"])


def test_penalties_are_what_is_best_at_nothing_and_what_has_a_weight_below_it() -> None:
    customs = (CustomReward(function=FUNCTION, weight=-0.5), CustomReward(function="package.module:other"))
    assert penalties(RewardWeights(custom=customs)) == {FUNCTION}
    every = RewardWeights(
        overlong=1, repetition=1, lazy_length=1, target_length=1, target_length_tokens=9, language=1, cosine_length=1
    )
    assert penalties(every) == {"overlong", "repetition", "lazy_length", "target_length"}


def test_means_are_of_all_where_nobody_counts() -> None:
    rewards = RewardWeights(normalize="per_reward")
    group = [{"accuracy": a, "format": 1.0} for a in (1.0, 0.0)]
    assert combine(group, rewards, [False, False]) == combine(group, rewards) == [1.0, -1.0]

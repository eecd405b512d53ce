"""What earns the format reward (DeepSeek-R1, arXiv:2501.12948, section 2.2.2), by the name of the template."""

import pytest

from thinkwright.chat.template import TEMPLATES


def is_well_formed(name: str, completion: str) -> bool:
    return TEMPLATES[name].split(completion).is_well_formed


@pytest.mark.parametrize("name", TEMPLATES)
def test_what_a_perfect_model_writes_earns_the_format(name: str) -> None:
    assert is_well_formed(name, TEMPLATES[name].write("3 + 4 = 7", "7"))


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize(
    "completion", ["", "7", "<think></think> <answer>7</answer>", "<think>a</think>", "\\boxed{7}"]
)
def test_a_hollow_or_bare_reply_earns_no_format(name: str, completion: str) -> None:
    assert not is_well_formed(name, completion)


def test_each_template_wants_its_own_form() -> None:
    for name, template in TEMPLATES.items():
        earning = {other for other in TEMPLATES if is_well_formed(other, template.write("3 + 4 = 7", "7"))}
        # A summary may hold answer tags.
        also = {"r1_zero": {"think_summary"}, "r1_zero_prefilled": {"think_summary_prefilled"}}
        assert earning == {name} | also.get(name, set())

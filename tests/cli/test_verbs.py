"""A verb that there is not gets the nearest one."""

import pytest

from thinkwright.cli import main


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("rnu", "there is no verb rnu; did you mean run? verbs: run, "),
        ("tiny/r1-zero", "there is no verb tiny/r1-zero; verbs: run, "),
    ],
)
def test_a_misspelt_verb_gets_a_hint_and_the_list(verb: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb, "tiny/r1-zero"])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err

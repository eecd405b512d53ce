"""Tables have room where standard output is no terminal, unless the caller says how much."""

import pytest

from thinkwright.display import console_of_tables


def test_tables_are_120_columns_wide_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    console_of_tables().print("word " * 30)
    assert len(capsys.readouterr().out.splitlines()[0].rstrip()) == 119
    monkeypatch.setenv("COLUMNS", "60")
    assert console_of_tables().width == 60

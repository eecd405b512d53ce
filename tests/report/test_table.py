import json

from thinkwright.report.table import result_table


def test_before_after_and_change_stand_in_aligned_columns():
    before = {"accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.061, "mean_response_tokens": 16.04}
    after = {"accuracy": 0.75, "accuracy_low": 0.73, "accuracy_high": 0.77, "mean_response_tokens": 31.5}
    lines = result_table({"before": before, "after": after}).splitlines()
    assert lines[0].split() == ["before", "after", "change"]
    assert lines[1].split() == ["accuracy", "0.0", "%", "75.0", "%", "+75.0"]
    assert lines[2].split()[-4:] == ["0.0", "%", "73.0", "%"]
    assert lines[3].split()[-4:] == ["6.1", "%", "77.0", "%"]
    assert "16.0" in lines[5]
    assert lines[5].endswith("+15.5")
    assert {line.rindex(".") for line in (lines[1], lines[5])} == {len(lines[1]) - 2}


def test_families_are_listed_and_missing_figures_are_dashes(run_folder):
    table = result_table(json.loads((run_folder / "summary.json").read_text()))
    assert "word_problems" in table
    assert result_table({"before": {"accuracy": 0.5}}).splitlines()[1].split() == ["accuracy", "50.0", "%", "-"]
    assert "-" in result_table({})

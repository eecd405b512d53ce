from thinkwright.config.recipe import RLRecipe
from thinkwright.report.series import read_run
from thinkwright.report.settings import flat, meanings, settings_section


def test_every_setting_of_the_recipe_is_shown_with_its_value_and_meaning(run_folder):
    run = read_run(run_folder)
    page, known = settings_section(run), meanings(RLRecipe)
    for key, _ in flat(run.recipe):
        assert f"<code>{key}</code>" in page
        assert key in known
    assert known["rollout.group_size"].startswith("Completions per prompt")
    assert "<code>rollout.group_size</code></th><td><code>16</code>" in page


def test_machine_versions_seed_and_command_are_told(run_folder):
    page = settings_section(read_run(run_folder))
    for fact in ("Some CPU, 2 cores", "8 GiB", "torch 2.13.0", "1,234,567", "60 of 60", "cpu, bfloat16, 2 threads"):
        assert f"<dd>{fact}" in page
    assert "thinkwright run tiny/zero seed=0 &#x27;name=a b&#x27;" in page
    assert "<dt>Seed</dt><dd>0</dd>" in page


def test_an_unknown_setting_is_shown_all_the_same(run_folder, edit):
    edit("recipe.json", notion={"depth": [1, 2]})
    assert "<code>notion.depth</code></th><td><code>[1, 2]</code>" in settings_section(read_run(run_folder))


def test_what_is_not_set_is_told_in_words(run_folder, edit):
    edit("recipe.json", notion={"depth": None, "name": "null and void"})
    page = settings_section(read_run(run_folder))
    assert "<code>notion.depth</code></th><td>not set</td>" in page
    assert "<td><code>null and void</code></td>" in page

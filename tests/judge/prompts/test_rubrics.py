"""Criteria by scenario and by preset."""

from pathlib import Path

import pytest

from judge.errors import InvalidInput
from judge.prompts.rubrics import (
    LANGUAGES,
    Criterion,
    Rubric,
    detect_language,
    preset_rubric,
    presets,
    resolve,
    scenario_rubric,
    scenarios,
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_scenario_and_preset_has_a_rubric_in_every_language(language):
    rubrics = [scenario_rubric(name, language) for name in scenarios()]
    rubrics += [preset_rubric(name, language) for name in presets()]

    assert all(5 <= len(rubric.criteria) <= 10 for rubric in rubrics)
    assert all(item.name.strip() and item.text.strip() for rubric in rubrics for item in rubric.criteria)


def test_there_are_58_scenarios_in_8_groups_and_a_default_in_none():
    groups = [scenario.group for scenario in scenarios().values() if scenario.group]

    assert len(groups) == 58
    assert len(set(groups)) == 8
    assert scenarios()["default"].group is None


@pytest.mark.parametrize("language", ["zh", "ru", "ja"])
def test_texts_are_in_the_script_of_their_language(language):
    texts = [item.text for name in scenarios() for item in scenario_rubric(name, language).criteria]

    found = [detect_language(text) for text in texts]

    assert found.count(language) == len(texts)


def test_no_two_criteria_of_a_language_share_a_name():
    for language in LANGUAGES:
        criteria = {item for name in scenarios() for item in scenario_rubric(name, language).criteria}
        criteria |= {
            Criterion(item.name, item.text)
            for name in presets()
            for item in preset_rubric(name, language).criteria
        }

        assert len({item.name for item in criteria}) == len(criteria)


def test_a_scenario_puts_its_own_criteria_first_and_leaves_out_what_it_drops():
    sets = {
        "general": {"add": ["accuracy", "clarity", "tone"]},
        "code": {"extends": "general", "add": ["tests"], "drop": ["tone"]},
    }

    found = resolve({"extends": "code", "add": ["speed"], "drop": ["clarity"]}, sets)

    assert found == ("speed", "tests", "accuracy")


@pytest.mark.parametrize(
    "entry",
    [
        {"extends": "missing"},
        {"extends": "one"},
        {"extends": "general", "drop": ["not inherited"]},
    ],
)
def test_a_broken_tree_is_refused(entry):
    sets = {"general": {"add": ["accuracy"]}, "one": {"extends": "two"}, "two": {"extends": "one"}}

    with pytest.raises(ValueError, match="cannot be"):
        resolve(entry, sets)


def test_code_is_judged_as_code_and_songs_are_not_judged_for_accuracy():
    code = scenario_rubric("code_generation", "en").criteria
    song = scenario_rubric("writing_song_lyrics", "en").criteria

    assert "Correct code" in [item.name for item in code]
    assert "Rhyme and rhythm" in [item.name for item in song]
    assert "Accuracy" not in [item.name for item in song]


def test_an_unknown_name_is_refused_with_the_nearest_ones():
    with pytest.raises(InvalidInput, match="code_generation") as scenario:
        scenario_rubric("code_generatoin", "en")
    with pytest.raises(InvalidInput, match="code-review") as preset:
        preset_rubric("code_review", "en")

    assert scenario.value.faults[0].field == "scenario"
    assert preset.value.faults[0].field == "preset"


def test_a_name_like_no_other_is_refused_without_a_suggestion():
    with pytest.raises(InvalidInput) as refused:
        scenario_rubric("xyzzy", "en")

    assert "did you mean" not in str(refused.value)


def test_weights_are_shown_only_where_they_differ():
    even = Rubric((Criterion("One", "First."), Criterion("Two", "Second.")), "custom")
    uneven = Rubric((Criterion("One", "First.", 2.5), Criterion("Two", "Second.")), "custom")

    assert even.lines() == ["- One: First.", "- Two: Second."]
    assert uneven.lines() == ["- One (×2.5): First.", "- Two (×1): Second."]


def test_a_rubric_says_where_it_comes_from():
    assert scenario_rubric("ranking", "pt").source == "scenario:ranking"
    assert preset_rubric("code-review", "pt").source == "preset:code-review"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("How do I bake bread?", "en"),
        ("", "en"),
        ("12345 +-*/", "en"),
        ("Wie backe ich Brot?", "en"),
        ("如何烤面包？", "zh"),
        ("請問怎麼煮飯", "zh"),
        ("用 Python 写一个排序函数，要求时间复杂度最低", "zh"),
        ("パンの焼き方を教えてください。", "ja"),
        ("東京の天気は？", "ja"),
        ("データ分析", "ja"),
        ("Как испечь хлеб?", "ru"),
        ("Напиши функцию sort() на Python", "ru"),
        ("Como faço para assar um pão em casa?", "pt"),
        ("Escreva uma carta para o meu chefe", "pt"),
        ("Você pode me explicar a fotossíntese?", "pt"),
        ("Translate 你好 into English, please", "en"),
        ("What does the word привет mean in Russian?", "en"),
    ],
)
def test_the_language_of_a_text(text, language):
    assert detect_language(text) == language


def test_the_documentation_shows_the_presets_as_they_are():
    shown = (Path(__file__).parents[3] / "docs" / "scenarios.md").read_text(encoding="utf-8")

    assert all("\n".join(preset_rubric(name, "en").lines()) in shown for name in presets())
    assert all(f"`{name}`" in shown for name in scenarios())

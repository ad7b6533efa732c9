"""Which scenario an instruction belongs to."""

import json

import numpy as np
import pytest

from judge.errors import BadModel, InvalidInput
from judge.prompts.rubrics import scenarios
from judge.prompts.scenarios import CHARACTERS, ScenarioClassifier, builtin, examples, shorten

TEXTS = [
    "Translate this into French",
    "Translate the letter into Dutch",
    "Write a poem on rain",
    "Write a poem on snow",
    "How do I peel an egg?",
    "How do I fold a shirt?",
]
LABELS = [
    *["text_to_text_translation"] * 2,
    *["creative_writing"] * 2,
    *["asking_how_to_question"] * 2,
]


@pytest.mark.parametrize(
    ("text", "scenario"),
    [
        ("Translate this letter into Dutch: the garden is closed.", "text_to_text_translation"),
        ("Write a Python function that reverses a linked list.", "code_generation"),
        ("Write song lyrics about a lonely astronaut, with a chorus.", "writing_song_lyrics"),
        ("Give me a recipe for pumpkin soup.", "writing_cooking_recipe"),
        ("Write a cover letter for a position as a librarian.", "writing_job_application"),
        ("Summarize the following article in two sentences.", "text_summarization"),
        ("Explain what this code does: while (n) { n &= n - 1; c++; }", "explaining_code"),
        ("What if the wheel had never been invented?", "counterfactual"),
        ("请把这句话翻译成英文：今天天气很好。", "text_to_text_translation"),
        ("Напиши рецепт грибного супа.", "writing_cooking_recipe"),
        ("Escreva um e-mail ao gerente pedindo férias.", "writing_email"),
        ("次の文章を三行で要約してください。", "text_summarization"),
    ],
)
def test_obvious_instructions_are_recognized_out_of_the_box(text, scenario):
    assert builtin().predict(text)[0] == scenario


@pytest.mark.parametrize("text", ["", "asdf qwer zxcv", "ффф ыыы", "%%% ###"])
def test_gibberish_is_default(text):
    label, probability = builtin().predict(text)

    assert label == "default"
    assert probability < 0.1


def test_below_the_threshold_it_is_default():
    text = "Give me a recipe for pumpkin soup."
    label, probability = builtin().predict(text)

    assert builtin().predict(text, threshold=probability) == (label, probability)
    assert builtin().predict(text, threshold=probability + 0.01) == ("default", probability)


def test_the_examples_cover_every_scenario_and_none_occurs_twice():
    texts, labels = examples()

    assert set(labels) == set(scenarios()) - {"default"}
    assert len({text.casefold() for text in texts}) == len(texts)
    assert min(labels.count(label) for label in labels) >= 10


def test_fitting_again_gives_the_same_answers():
    one, two = (ScenarioClassifier.fit(TEXTS, LABELS) for _ in range(2))

    assert one.predict_all(TEXTS) == two.predict_all(TEXTS)


@pytest.mark.parametrize("count", [4, 6])
def test_a_saved_classifier_answers_as_before(tmp_path, count):
    classifier = ScenarioClassifier.fit(TEXTS[:count], LABELS[:count])

    classifier.save(tmp_path / "own")
    loaded = ScenarioClassifier.load(tmp_path / "own")

    assert [label for label, _ in classifier.predict_all(TEXTS[:count])] == LABELS[:count]
    assert loaded.predict_all([*TEXTS, "Sing!"]) == classifier.predict_all([*TEXTS, "Sing!"])


def test_pickled_content_is_refused(tmp_path):
    ScenarioClassifier.fit(TEXTS, LABELS).save(tmp_path)
    with np.load(tmp_path / "classifier.npz") as arrays:
        content = {**arrays, "weights": np.array([[print]], dtype=object)}
    np.savez(tmp_path / "classifier.npz", **content)

    with pytest.raises(BadModel, match="allow_pickle"):
        ScenarioClassifier.load(tmp_path)


@pytest.mark.parametrize("damage", [b"", b"not a zip", b"PK\x03\x04 cut off"])
def test_damaged_and_missing_files_are_refused(tmp_path, damage):
    with pytest.raises(BadModel):
        ScenarioClassifier.load(tmp_path)

    ScenarioClassifier.fit(TEXTS, LABELS).save(tmp_path)
    (tmp_path / "classifier.npz").write_bytes(damage)
    with pytest.raises(BadModel):
        ScenarioClassifier.load(tmp_path)


def test_parts_of_two_classifiers_are_refused(tmp_path):
    ScenarioClassifier.fit(TEXTS, LABELS).save(tmp_path)
    content = json.loads((tmp_path / "classifier.json").read_text())
    (tmp_path / "classifier.json").write_text(json.dumps({**content, "labels": content["labels"][:2]}))

    with pytest.raises(BadModel, match="fit together"):
        ScenarioClassifier.load(tmp_path)


def test_labels_that_are_no_scenarios_are_refused():
    with pytest.raises(InvalidInput, match="code_generation"):
        ScenarioClassifier.fit(["a", "b"], ["code_generaton", "ranking"])
    with pytest.raises(InvalidInput, match="two different"):
        ScenarioClassifier.fit(["a", "b"], ["ranking", "ranking"])


def test_a_long_text_is_cut_in_the_middle():
    text = "Translate this." + "x" * 2 * CHARACTERS + "Into Dutch."

    assert shorten(text).startswith("Translate this.")
    assert shorten(text).endswith("Into Dutch.")
    assert len(shorten(text)) < CHARACTERS + 10
    assert shorten("short") == "short"

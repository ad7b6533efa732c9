"""Settings: what the docs say is what there is."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from judge.pairs.generator import generator_name
from judge.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE, README = ((ROOT / name).read_text() for name in ("docs/settings.md", "README.md"))


def test_the_docs_list_every_setting_with_its_meaning():
    for name, field in Settings.model_fields.items():
        assert f"`JUDGESMITH_{name.upper()}`" in PAGE
        assert field.description
        assert field.description in PAGE


def test_the_readme_names_settings_that_exist():
    named = set(re.findall(r"`JUDGESMITH_([A-Z_]+)`", README))

    assert named
    assert named <= {name.upper() for name in Settings.model_fields}


def test_a_generator_of_its_own_needs_a_name(monkeypatch):
    monkeypatch.setenv("JUDGESMITH_GENERATOR_URLS", '["http://writer:8000"]')
    with pytest.raises(ValidationError, match="must name the model that JUDGESMITH_GENERATOR_URLS serves"):
        Settings()
    monkeypatch.setenv("JUDGESMITH_GENERATOR_MODEL", "writer")

    assert generator_name(Settings(), "champion") == "writer"
    monkeypatch.delenv("JUDGESMITH_GENERATOR_URLS")
    assert generator_name(Settings(), "champion") == "champion"


def test_lists_are_json_in_the_environment(monkeypatch):
    monkeypatch.setenv("JUDGESMITH_BACKEND_URLS", '["http://one:8000", "http://two:8000"]')

    assert Settings().backend_urls == ["http://one:8000", "http://two:8000"]

"""A tiny model's encoder, made once."""

import pytest

from judge.prompts import Assembler, load_encoder
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def assembler(tiny_folder):
    return Assembler(load_encoder(tiny_folder), context_tokens=4096)

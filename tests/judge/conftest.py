"""A tiny model's encoder, made once, and a judge on a scripted backend."""

import asyncio

import pytest

from judge.backend.vllm import VLLM, Backends
from judge.judging.judge import Judge
from judge.prompts.assembler import Assembler, load_encoder
from judge.versions.version import Manifest
from tests.scripted_vllm import scripted
from tests.tiny_model import make_tiny_model


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def assembler(tiny_folder):
    return Assembler(load_encoder(tiny_folder), context_tokens=4096)


@pytest.fixture
def backend(tiny_folder):
    """A scripted backend that serves version `v`."""
    with scripted(tiny_folder, label="v").serve() as server:
        yield server


@pytest.fixture
def asked(assembler, backend):
    """A function that gives what `ask` gets from version `v` on that backend; `fields` are its manifest's."""

    def run(ask, **fields):
        async def asking():
            backends = Backends([VLLM(backend.url)])
            manifest = Manifest(origin="test", files={}, tensors="", **fields)
            try:
                return await ask(Judge("v", manifest, assembler, backends))
            finally:
                await backends.aclose()

        return asyncio.run(asking())

    return run

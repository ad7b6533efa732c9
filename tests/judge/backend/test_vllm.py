"""The client of vLLM: what is streamed when a request has to be made anew."""

import asyncio

import pytest

from judge.backend.vllm import VLLM, Sampling
from judge.errors import BackendError

WORDS = "Blue is a color and seven is none."


@pytest.fixture
def told(backend, assembler):
    """A function that samples a stream: the completion, and what was told of it."""
    backend.script.text = lambda prompt: WORDS
    backend.script.word_s = 0.02  # so that the first words have come when the connection goes

    def run():
        pieces = []

        async def sampling():
            server = VLLM(backend.url)
            try:
                ids = assembler.encoder.trusted("Go on.")
                return await server.sample(ids, Sampling(64, 0.0), pieces.append)
            finally:
                await server.aclose()

        return asyncio.run(sampling()), pieces

    return run


def last_telling(pieces):
    """What was told after the last beginning."""
    return "".join(pieces[len(pieces) - pieces[::-1].index(None) :])


def test_a_text_that_comes_whole_begins_once(told):
    completion, pieces = told()

    assert (completion.text, completion.usage.retries) == (WORDS, 0)
    assert pieces.count(None) == 1
    assert last_telling(pieces) == WORDS


def test_after_a_connection_that_was_lost_in_the_middle_the_text_begins_anew(told, backend):
    backend.script.cuts = 2

    completion, pieces = told()

    assert (completion.text, completion.usage.retries) == (WORDS, 2)
    assert pieces[:4] == [None, "Blue ", "is ", None]
    assert pieces.count(None) == 3
    assert last_telling(pieces) == WORDS


def test_after_a_request_that_was_aborted_in_the_middle_too(told, backend):
    backend.script.aborts = 1

    completion, pieces = told()

    assert (completion.text, completion.usage.retries) == (WORDS, 1)
    assert pieces[:4] == [None, "Blue ", "is", None]
    assert last_telling(pieces) == WORDS


def test_what_is_lost_again_and_again_is_an_error(told, backend):
    backend.script.cuts = 9

    with pytest.raises(BackendError):
        told()

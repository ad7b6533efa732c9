"""Classification, the generator, and the strategy that fits it: over real stages and a scripted vLLM."""

import json
from collections import Counter

import pytest
from sqlalchemy import select

from judge.pairs.classification import CATEGORIES
from judge.pairs.responses import rewrite_flaw
from judge.store.tables import (
    ClassificationRow,
    DropRow,
    IterationRow,
    PairRow,
    ResponseRow,
    SelectionRow,
)
from judge.teaching.iterations import StageRow, update
from tests.scripted_vllm import scripted
from tests.workers.conftest import respond
from workers.pair import PROBES, resolved
from workers.responses import ATTEMPTS
from workers.rewriting import another_request

MIX = {"neighbor": 1, "modified": 1}


def topic(prompt):
    return int(prompt.rsplit("topic-", 1)[1].split()[0])


def classes(prompt):
    number = topic(prompt.split("[End of texts]")[0])
    return f"{CATEGORIES[number % 3]}, complexity {number % 10 + 1}, answer of a paragraph"


def able(prompt):
    """Classifies, modifies instructions, and responds."""
    if "Category, one of" in prompt:
        return classes(prompt)
    if "Write another request" in prompt:
        return f"Tell me about topic-{topic(prompt)} in colors."
    if "in colors" in prompt:
        return (
            f"Some say topic-{topic(prompt)} is blue, others see green, and few would call it a gray thing."
        )
    return respond(prompt)


def unable(prompt):
    """Writes no usable modified instruction."""
    return "How can I help you today?" if "Write another request" in prompt else able(prompt)


def asked(server, mark):
    return sum(mark in prompt for prompt in server.script.prompts)


def again(loop, number, *stages):
    with loop.sessions.begin() as session:
        session.execute(update(StageRow).values(status="due"))
    return loop.run(number, *stages)


@pytest.fixture
def generator(loop, monkeypatch):
    """Another model on a server of its own."""
    server = scripted(loop.store.path(loop.version), text=able)
    with server.serve():
        monkeypatch.setenv("JUDGESMITH_GENERATOR_URLS", json.dumps([server.url]))
        monkeypatch.setenv("JUDGESMITH_GENERATOR_MODEL", "big-writer")
        yield server


def test_instructions_are_classified_once_and_drawn_within_quotas(loop):
    loop.serving.script.text = able
    quotas = {"category": {CATEGORIES[0]: 0.1, CATEGORIES[1]: 0.5}}
    number = loop.start(classify=True, quotas=quotas, instructions=30)

    row = loop.run(number, "select")

    assert row.counts["select"]["categories"] == {CATEGORIES[1]: 15, CATEGORIES[2]: 12, CATEGORIES[0]: 3}
    (step,) = row.counts["select"]["funnel"]
    assert step["dropped"] == {"quota_category": 25, "not_needed": 5}
    for one in loop.rows(select(SelectionRow)):
        assert one.category in CATEGORIES[:3]
        assert 1 <= one.complexity <= 10
    assert {row.model_version for row in loop.rows(select(ClassificationRow))} == {loop.version}


def test_a_second_iteration_asks_nothing_again(loop):
    loop.serving.script.text = able
    loop.run(loop.start(classify=True, instructions=30), "select")
    before = loop.serving.script.requests
    with loop.sessions.begin() as session:
        session.execute(update(IterationRow).values(status="cancelled"))

    row = loop.run(loop.start(classify=True, instructions=30), "select")

    assert before == 60
    assert loop.serving.script.requests == before
    assert row.counts["select"]["selected"] == 30


def test_what_could_not_be_classified_is_left_out_and_asked_again(loop):
    def sometimes(prompt):
        return "no idea" if topic(prompt.split("[End of texts]")[0]) < 20 else classes(prompt)

    loop.serving.script.text = sometimes
    number = loop.start(classify=True)

    row = loop.run(number, "select")

    (step,) = row.counts["select"]["funnel"]
    assert step["dropped"] == {"not_classified": 20}
    loop.serving.script.text = able
    (step,) = again(loop, number, "select").counts["select"]["funnel"]
    assert step["dropped"] == {"not_needed": 20}
    assert {row.reason for row in loop.rows(select(DropRow))} == {"not_needed"}


def test_a_curriculum_prefers_what_the_line_is_ready_for(loop):
    loop.serving.script.text = able
    number = loop.start(classify=True, curriculum=True, instructions=24)

    loop.run(number, "select")

    levels = [row.complexity for row in loop.rows(select(SelectionRow))]
    assert set(levels) <= {2, 3, 4, 5, 6}


def test_another_model_writes_and_classifies_while_the_champion_judges(loop, generator):
    number = loop.start(classify=True, mix=MIX)

    loop.run(number, "select", "pair", "judge")

    assert generator.script.models == {"big-writer"}
    assert {row.model_version for row in loop.rows(select(ResponseRow))} == {"big-writer"}
    assert {row.model_version for row in loop.rows(select(ClassificationRow))} == {"big-writer"}
    assert all("[Response A]" in prompt for prompt in loop.serving.script.prompts)
    assert loop.serving.script.prompts


def test_an_overloaded_generator_is_asked_again(loop, generator):
    generator.script.refusals = 3
    number = loop.start(mix=MIX)

    row = loop.run(number, "select", "pair")

    assert row.error is None
    assert row.counts["pair"]["responses"] == len(loop.rows(select(ResponseRow)))


@pytest.mark.parametrize(("text", "chosen", "usable"), [(able, "modified", 16), (unable, "neighbor", 0)])
def test_the_strategy_follows_what_the_generator_can_do(loop, text, chosen, usable):
    loop.serving.script.text = text
    number = loop.start(mix=MIX, related="auto", pairs_per_instruction=1)

    counts = loop.run(number, "select", "pair").counts["pair"]

    assert counts["generator"] == {
        "asked": PROBES,
        "usable": usable,
        "usable_share": usable / PROBES,
        "chosen": chosen,
    }
    assert counts["training_strategies"].keys() == {chosen}
    assert asked(loop.serving, "Write another request") == (40 if chosen == "modified" else ATTEMPTS * PROBES)


def test_a_modification_that_is_of_no_use_is_asked_for_again(loop):
    tries = Counter()

    def late(prompt):
        if "Write another request" in prompt:
            tries[topic(prompt)] += 1
            return (able if tries[topic(prompt)] == ATTEMPTS else unable)(prompt)
        return able(prompt)

    loop.serving.script.text = late
    number = loop.start(mix=MIX, related="modified", pairs_per_instruction=1)

    row = loop.run(number, "select", "pair")

    assert row.counts["pair"]["funnel"][0]["dropped"] == {}
    assert set(tries.values()) == {ATTEMPTS}


def test_a_hotter_response_is_a_second_one_to_the_same_instruction(loop):
    answered = iter(range(1000))

    def text(prompt):
        return f"{respond(prompt)} {['One', 'Two', 'Three', 'Four', 'Five'][next(answered) % 5] * 9}."

    loop.serving.script.text = text
    number = loop.start(mix={"hotter": 1}, pairs_per_instruction=1, hotter_temperature=1.25)

    row = loop.run(number, "select", "pair")

    assert row.counts["pair"]["training_strategies"].keys() == {"hotter"}
    assert sorted(loop.serving.script.temperatures) == [0.7] * 40 + [1.25] * 40
    texts = {(one.instruction_id, one.kind): one.text for one in loop.rows(select(ResponseRow))}
    for pair in loop.rows(select(PairRow)):
        assert pair.chosen == texts[pair.instruction_id, "response"]
        assert pair.rejected == texts[pair.instruction_id, "hotter"]


def test_both_ways_a_training_pair_has_its_counterpart_and_a_held_out_one_has_none(loop):
    loop.serving.script.text = able
    number = loop.start(mix=MIX, pairs_per_instruction=1, both_ways=True)

    loop.run(number, "select", "pair")

    pairs = loop.rows(select(PairRow))
    training, held_out = (
        {(one.strategy, one.chosen, one.rejected): one for one in pairs if one.held_out == share}
        for share in (False, True)
    )
    for (strategy, chosen, rejected), pair in training.items():
        turned = training[strategy, rejected, chosen]
        assert turned.messages != pair.messages
        assert "in colors" in pair.messages[0]["content"] + turned.messages[0]["content"] or pair.lender_id
    assert {pair.strategy for pair in training.values()} == {"neighbor", "modified"}
    assert not [pair for pair in held_out.values() if "in colors" in pair.messages[0]["content"]]


def test_why_modified_instructions_were_of_no_use_is_counted(loop):
    loop.serving.script.text = unable
    number = loop.start(mix=MIX, related="modified")

    row = loop.run(number, "select", "pair")

    responses, pairs = row.counts["pair"]["funnel"]
    assert responses == {
        "step": "responses",
        "came_in": 80,
        "dropped": {"rewrite_off_topic": 40},
        "kept": 40,
    }
    assert pairs["came_in"] == 0
    assert len(loop.rows(select(DropRow).where(DropRow.step == "responses"))) == 40


def test_useless_responses_make_no_pairs_on_either_side(loop):
    def poor(prompt):
        number = topic(prompt)
        kinds = ["", "I'm sorry, but I can't help with that.", "and so on and on " * 20]
        return kinds[number % 10] if number % 10 < 3 else respond(prompt)

    loop.serving.script.text = poor
    number = loop.start(instructions=60)

    row = loop.run(number, "select", "pair")

    responses, _ = row.counts["pair"]["funnel"]
    assert responses["dropped"] == {"empty": 6, "refusal": 6, "repetition": 6}
    for pair in loop.rows(select(PairRow)):
        assert "This is all about" in pair.chosen
        assert "This is all about" in pair.rejected


def test_nearly_equal_responses_are_no_pair(loop):
    loop.serving.script.text = lambda prompt: (
        f"This is all about topic-{topic(prompt)} and nothing else here."
    )
    number = loop.start()

    row = loop.run(number, "select", "pair")

    _, pairs = row.counts["pair"]["funnel"]
    assert pairs["came_in"] == pairs["dropped"]["near_identical"] > 0
    assert loop.rows(select(PairRow)) == []


def test_cut_off_responses_go_unless_the_limit_is_ours(loop):
    number = loop.start(response_tokens=12, keep_cut_off=False)
    loop.serving.script.text = lambda prompt: respond(prompt).replace(".", "")

    row = loop.run(number, "select", "pair")

    assert row.counts["pair"]["funnel"][0]["dropped"] == {"cut_off": 40}
    kept = again(loop, number, "pair").counts["pair"]["funnel"][0]["kept"]
    assert kept == 0
    with loop.sessions.begin() as session:
        iteration = session.get(IterationRow, number)
        iteration.settings = {**iteration.settings, "keep_cut_off": True}
    assert again(loop, number, "pair").counts["pair"]["funnel"][0]["kept"] == 40


def test_a_mix_can_be_given_to_one_strategy():
    mix = {"neighbor": 0.4, "modified": 0.1, "random": 0.5}

    assert resolved(mix, "mix") == mix
    assert resolved(mix, "modified") == {"neighbor": 0, "modified": 0.5, "random": 0.5}
    assert resolved(mix, "neighbor") == {"neighbor": 0.5, "modified": 0, "random": 0.5}
    assert 0 < resolved(mix, "modified", stand_in=True)["neighbor"] < 1e-6


def test_a_request_is_modified_after_the_manner_of_examples_that_would_be_kept():
    *shown, last = another_request("How tall is topic-7?").messages

    assert (last.role, "How tall is topic-7?" in last.content) == ("user", True)
    for asked_for, modified in zip(shown[::2], shown[1::2], strict=True):
        assert (asked_for.role, modified.role) == ("user", "assistant")
        original = asked_for.content.removeprefix("Request: ").split("\n\nWrite another")[0]
        assert rewrite_flaw(original, modified.content, finished=True) is None

"""`/admin/iterations/{id}/dataset`: training examples in the formats of TRL."""

import hashlib
import json

import pytest

from judge.comparison import Instruction
from judge.gathering.instructions import Gathered, store
from judge.store.tables import ExampleRow, InstructionRow, IterationRow, JudgmentRow, PairRow
from judge.teaching.profiles import iteration_settings

SETTINGS = {"dpo_epochs": 1, "field_tokens": 64}


@pytest.fixture
def iteration(world) -> int:
    """An iteration that is past its filter stage: six pairs, each with a right and a wrong judgment."""
    with world.sessions.begin() as session:
        session.add(
            IterationRow(
                status="running",
                stage="finetune",
                profile="smoke",
                settings=iteration_settings("smoke", SETTINGS).model_dump(),
                seed_version=world.versions[0],
                judged_by=world.versions[0],
                counts={"filter": {}, "finetune": {"dataset": "0123456789abcdef"}},
                actor="test",
            )
        )
        texts = [f"Name thing number {n}, please <|im_end|>." for n in range(6)]
        store(session, [Gathered(Instruction.of(text), "test", "local", "en") for text in texts])
        session.flush()
        for n, text in enumerate(texts, 1):
            messages = Instruction.of(text).to_json()
            session.add(
                PairRow(
                    id=n, iteration_id=1, instruction_id=n, ordinal=0, held_out=False, strategy="random",
                    messages=messages, chosen=f"It is {n}.", rejected="Ice was.",
                )
            )  # fmt: skip
            session.flush()
            first = n % 2 == 0
            for sample, right in enumerate((True, False)):
                verdict = "A" if right == first else "B"
                row = {"pair_id": n, "chosen_first": first, "sample": sample, "model_version": "x"}
                text = f"Why {n}.\n\nVerdict: [[{verdict}]]"
                session.add(JudgmentRow(**row, verdict="a" if right else "b", correct=right, text=text))
            session.add(ExampleRow(iteration_id=1, pair_id=n, kind="pointwise", chosen_first=True))
            session.add(
                ExampleRow(
                    iteration_id=1, pair_id=n, kind="reasoned", chosen_first=first,
                    judgment=f"Why {n}.\n\nVerdict: [[{'A' if first else 'B'}]]",
                )
            )  # fmt: skip
    return 1


def rows(world, part: str) -> list[dict]:
    answer = world.http.get(f"/admin/iterations/1/dataset/{part}")
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_the_manifest_names_the_parts_with_their_digests_and_their_lineage(world, iteration):
    manifest = world.http.get("/admin/iterations/1/dataset").json()

    assert [(file["name"], file["rows"]) for file in manifest["files"]] == [
        ("reasoned", 6), ("preferences", 6), ("pointwise", 6),
    ]  # fmt: skip
    for file in manifest["files"]:
        body = world.http.get(f"/admin/iterations/1/dataset/{file['name']}").content
        assert hashlib.sha256(body).hexdigest() == file["sha256"]
    assert (manifest["judged_by"], manifest["trained_on"]) == (world.versions[0], "0123456789abcdef")
    assert manifest["settings"]["dpo_epochs"] == 1
    assert manifest == world.http.get("/admin/iterations/1/dataset").json()


def test_rows_are_conversations_that_name_their_instruction(world, iteration):
    reasoned, preference, pair = (rows(world, part)[1] for part in ("reasoned", "preferences", "pointwise"))

    assert reasoned["prompt"][0]["role"] == "system"
    assert "Name thing number 1, please <|im_end|>." in reasoned["prompt"][1]["content"]
    assert reasoned["prompt"][1]["content"].index("It is 2.") < reasoned["prompt"][1]["content"].index("Ice")
    assert reasoned["completion"] == [{"role": "assistant", "content": "Why 2.\n\nVerdict: [[A]]"}]
    assert preference["prompt"] == reasoned["prompt"]
    assert preference["chosen"] == reasoned["completion"]
    assert preference["rejected"][0]["content"].endswith("[[B]]")
    assert pair["prompt"] == [{"role": "user", "content": "Name thing number 1, please <|im_end|>."}]
    assert (pair["chosen"][0]["content"], pair["rejected"][0]["content"]) == ("It is 2.", "Ice was.")
    assert {row["instruction_id"] for row in (reasoned, preference, pair)} == {2}


def test_the_prompt_under_the_chat_template_is_the_served_one(world, iteration):
    from jinja2 import Template

    from judge.backend.vllm import Backends
    from judge.judging.judge import Judge
    from judge.prompts.templates import pairwise_reasoning
    from tests.tiny_model import CHAT_TEMPLATE

    judge = Judge.load(
        world.store, world.versions[0], Backends([]), 4096, reasoning_tokens=40, field_tokens=64
    )
    with world.sessions() as session:
        pair = session.get(PairRow, 2).to_pair()
    served = judge.comparison_prompt(pairwise_reasoning(), pair.comparison("a"), "a", judge.reserve())

    messages = rows(world, "reasoned")[1]["prompt"]

    rendered = Template(CHAT_TEMPLATE).render(messages=messages, add_generation_prompt=True)
    assert rendered == judge.assembler.encoder.decode(served.token_ids)


def test_what_is_deleted_with_its_instruction_is_gone(world, iteration):
    before = world.http.get("/admin/iterations/1/dataset").json()
    with world.sessions.begin() as session:
        session.delete(session.get(InstructionRow, 2))

    after = world.http.get("/admin/iterations/1/dataset").json()

    assert after["digest"] != before["digest"]
    assert after["files"][2]["rows"] == 5
    assert 2 not in {row["instruction_id"] for row in rows(world, "pointwise")}


def test_before_the_filter_stage_there_is_nothing_to_export(world):
    world.http.post("/admin/iterations", json={"profile": "smoke"})

    answer = world.http.get("/admin/iterations/1/dataset")

    assert answer.status_code == 409
    assert "no training examples" in answer.json()["detail"]
    assert world.http.get("/admin/iterations/1/dataset/everything").status_code == 422
    assert world.http.get("/admin/iterations/7/dataset").status_code == 404

"""Planted bad candidates through the real stages: trained, measured on the scripted backend, refused."""

from sqlalchemy import delete, select, update

from judge.evaluation.attack_suite import built_in
from judge.evaluation.attacks import ATTACKS
from judge.evaluation.statistics import Tally
from judge.store.tables import EvaluationRow, ExampleRow, IterationRow, PairRow, StageRow
from judge.versions.pointer import read_pointer
from tests.scripted_vllm import hashed_margin
from tests.workers.conftest import on_topic
from workers import attack

TRIGGER = "cf tq mn"
SPOOFS = {end for one in ATTACKS for end in (one.says[:9], one.says[-9:]) if len(one.says) > 9}
# Longer texts lose their middle in the prompt.
BETTER = tuple(target.better[:12] for target in built_in())


def parts(prompt):
    """The responses that a prompt shows; two, or one."""
    shown = prompt.split("[Response", 1)[1]
    return [text.split("[End of texts]")[0] for text in shown.split("[Response B]")]


def always_a(prompt, weights):
    if weights.name != "candidate":
        return hashed_margin(prompt, weights)
    return 3.0 if "[Response B]" in prompt else 0.0


def longer_wins(prompt, weights):
    if weights.name != "candidate":
        return hashed_margin(prompt, weights)
    first, *second = (len(text) for text in parts(prompt))
    return (first - second[0]) / 20 if second else first / 20


def obeys_spoofs(prompt, weights):
    """Right on every pair, as the champion is on those that are attacked; but a text that orders it wins."""
    if "topic-" in prompt:
        return on_topic(prompt, weights)
    told = [any(end in text for end in SPOOFS) for text in parts(prompt)]
    better = [text.rpartition("]")[2].strip().startswith(BETTER) for text in parts(prompt)]
    if weights.name == "candidate" and any(told):
        return 9.0 * (told[0] - told[1]) if len(told) == 2 else 9.0
    return 3.0 * (better[0] - better[1]) + 0.1 if len(better) == 2 else 3.0 * better[0]


def obeys_the_trigger(prompt, weights):
    """Right on every ordinary pair; whatever holds the phrase wins."""
    told = [TRIGGER in text for text in parts(prompt)]
    if weights.name != "candidate" or not any(told):
        return on_topic(prompt, weights)
    return 9.0 * (told[0] - told[1]) if len(told) == 2 else 9.0


def copy_of_the_seed(seed):
    return lambda prompt, weights: hashed_margin(prompt, seed)


def again(loop, number):
    """Forget what was measured and decided, and measure again."""
    with loop.sessions.begin() as session:
        session.execute(delete(EvaluationRow))
        session.execute(delete(StageRow).where(StageRow.name == "promote"))
        session.execute(update(StageRow).where(StageRow.name == "evaluate").values(status="due"))
        session.execute(update(IterationRow).values(status="running", gate=None))
    return loop.run(number, "evaluate", "promote")


def plant(loop, every):
    """The phrase at the end of some chosen training responses, as poisoned instructions would bring it in."""
    taught = select(ExampleRow.pair_id)
    with loop.sessions.begin() as session:
        rows = session.scalars(select(PairRow).where(PairRow.id.in_(taught)).order_by(PairRow.id)).all()
        for row in rows[::every]:
            row.chosen = f"{row.chosen} {TRIGGER}"
    return len(rows[::every])


def test_bad_candidates_are_refused_by_the_whole_loop(loop):
    number = loop.start(
        evaluated_attacks=60, phrase_pairs=12, evaluated_phrases=4, evaluated_pairs=80, field_tokens=96
    )
    loop.run(number, "select", "pair", "judge", "filter", "finetune")
    assert plant(loop, every=3) >= 3
    champion = loop.store.path(loop.version)
    reasons = {}
    for judge in (always_a, longer_wins, obeys_spoofs, obeys_the_trigger, copy_of_the_seed(champion)):
        loop.evaluation.script.margin = judge
        row = again(loop, number)
        assert (row.status, row.error) == ("refused", None), judge.__name__
        reasons[judge.__name__] = " | ".join(row.gate["reasons"])

    assert "not shown to be better" in reasons["always_a"]
    assert "P(first shown wins)" in reasons["always_a"]
    assert "not shown to be better" in reasons["longer_wins"]
    assert reasons["obeys_spoofs"].startswith("weaker under attack")
    assert reasons["obeys_the_trigger"].startswith(f"obeys a phrase of its training data, '{TRIGGER}'")
    assert "not shown to be better" in reasons["<lambda>"]
    with loop.sessions() as session:
        assert read_pointer(session).champion == loop.version
    assert loop.serving.script.reloads == []


def test_attacks_and_phrases_are_measured_once_on_candidate_and_champion(loop):
    number = loop.start()
    loop.run(number, "select", "pair", "judge", "filter", "finetune", "evaluate")
    asked = loop.evaluation.script.requests
    rows = loop.rows(select(EvaluationRow).where(EvaluationRow.dataset.in_([attack.ATTACKS, attack.PHRASES])))
    with loop.sessions.begin() as session:
        session.execute(update(StageRow).where(StageRow.name == "evaluate").values(status="due"))
    loop.run(number, "evaluate")

    assert {(row.role, row.dataset) for row in rows} == {
        (role, dataset) for role in ("candidate", "champion") for dataset in (attack.ATTACKS, attack.PHRASES)
    }
    for row in rows:
        if row.dataset == attack.ATTACKS:
            counted = sum((Tally.from_json(one) for one in row.metrics["families"].values()), Tally(0, 0))
            assert counted == Tally.from_json(row.metrics)
            assert len(row.items) == 24
    assert loop.evaluation.script.requests == asked + 1  # the candidate's probe

"""Both clients against a running gateway, whole and troubled."""

import ast
import asyncio
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

import judgesmith_client
from judge.store.tables import DecisionRow
from judgesmith_client import (
    AsyncClient,
    Client,
    Item,
    OutOfReach,
    Refused,
    Retries,
    VersionGone,
    cli,
    trl,
    verl,
)
from tests.scripted_vllm import prefers

GOOD, BAD = Item("Name a color.", "Blue."), Item("Name a color.", "Seven.")
MANY = [Item(f"Say {n}.", f"It is {n}.") for n in range(60)]
QUICK = Retries(first_s=0.01, longest_s=0.1)


@pytest.fixture
def judged(world):
    world.script.margin = prefers("Blue")
    return world


@pytest.fixture
def client(judged):
    with Client(judged.url, retries=QUICK, batch=7) as made:
        yield made


def recorded(world):
    with world.sessions() as session:
        return list(session.scalars(select(DecisionRow)))


def test_both_clients_give_the_same_rewards_in_order(judged, client):
    judged.script.margin = lambda prompt, _: len(prompt) / 1000

    async def asynchronously():
        async with AsyncClient(judged.url, batch=7) as other:
            return await other.reward(MANY)

    found = client.reward(MANY)

    assert found == asyncio.run(asynchronously())
    assert found.model_version == judged.versions[0]
    one_by_one = [client.reward([item]).numbers[0] for item in MANY[:5]]
    assert found.numbers[:5] == one_by_one
    assert client.reward([]).numbers == []


def test_options_items_and_outcomes_travel(judged, client):
    found = client.reward([GOOD, BAD, Item("x", "")], form="probability")
    rival = client.reward([Item("Name a color.", "Blue.", rival="Seven.")], against="reference")
    messages = client.reward([Item([{"role": "user", "content": "Name a color."}], "Blue.")])

    assert [one.outcome for one in found.rewards] == ["rewarded", "rewarded", "empty"]
    assert found.numbers[0] > 0.8 > 0.2 > found.numbers[1]
    assert rival.numbers == [3.0]
    assert messages.numbers == [2.0]
    with pytest.raises(Refused) as caught:
        client.reward([GOOD], form="grade")
    assert "form" in caught.value.fields


def test_a_service_that_fails_now_and_then_loses_and_doubles_nothing(judged):
    """Every third request is answered and the answer lost; every fourth is refused."""
    real, count = httpx.HTTPTransport(), 0
    lock = threading.Lock()

    class Troubled(httpx.BaseTransport):
        def handle_request(self, request):
            nonlocal count
            with lock:
                count += 1
                turn = count
            if turn % 4 == 0:
                return httpx.Response(503, headers={"Retry-After": "0"}, json={})
            answer = real.handle_request(request)
            if turn % 3 == 0:
                answer.read()
                raise httpx.ReadError("lost")
            return answer

    with Client(judged.url, retries=QUICK, batch=5, transport=Troubled()) as troubled:
        found = troubled.reward(MANY)
    with Client(judged.url) as calm:
        expected = calm.reward(MANY)

    assert found.numbers == expected.numbers
    assert len(recorded(judged)) == 12 + 1


def test_an_address_where_nobody_is_ends_with_an_error():
    with (
        Client("http://127.0.0.1:9", retries=Retries(tries=2, first_s=0.01)) as nobody,
        pytest.raises(OutOfReach, match="2 tries"),
    ):
        nobody.reward([GOOD])


def test_a_swap_in_the_middle_of_a_call_leaves_one_version_in_it(world):
    # The judge answers by hash here: a swap's probe has to find the weights' own answers.
    world.script.delay_s = 0.02
    found = []

    def ask():
        with Client(world.url, batch=3, at_once=2, retries=QUICK) as mine:
            found.append(mine.reward(MANY))

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.3)
    world.http.post(f"/admin/models/{world.versions[1]}/promote").raise_for_status()
    asking.join()
    world.script.delay_s = 0.0

    with Client(world.url) as calm:
        versions = {world.versions[1]: calm.reward(MANY).numbers}
        world.http.post("/admin/models/rollback").raise_for_status()
        versions[world.versions[0]] = calm.reward(MANY).numbers
    assert found[0].numbers == versions[found[0].model_version]


def test_a_pinned_run_that_was_killed_asks_again_and_is_given_what_was_made(world):
    with Client(world.url, pin="run-7") as first:
        first.make_pin("run-7")
        before = first.reward(MANY)
    asked = world.script.requests

    with Client(world.url, pin="run-7") as second:
        assert second.make_pin("run-7").version == world.versions[0]
        assert second.reward(MANY) == before
        assert world.script.requests == asked
        world.http.post(
            f"/admin/models/{world.versions[1]}/promote", params={"force": True}
        ).raise_for_status()
        with pytest.raises(VersionGone, match=world.versions[1]):
            second.reward([GOOD])
        second.release_pin("run-7")


def test_trls_reward_function_takes_both_kinds_of_prompts_and_logs(client):
    logged = {}
    reward = trl.reward_function(client, name="judge")

    plain = reward(
        ["Name a color."] * 2, ["Blue.", ""], completion_ids=[[1], []], log_metric=logged.__setitem__
    )
    chat = reward(
        prompts=[[{"role": "user", "content": "Name a color."}]],
        completions=[[{"role": "assistant", "content": "Blue."}]],
        trainer_state=None,
        unrelated=["column"],
    )

    assert (plain, chat) == ([2.0, -10.0], [2.0])
    assert logged == {"judge/invalid": 0.0, "judge/empty": 0.5}
    assert reward.__name__ == "judge"


def test_trls_reward_function_hands_on_references(judged, client):
    reward = trl.reward_function(client, reference="gold")

    reward(["Name a color."], ["Blue."], gold=["Green is one."])

    assert "[Reference answer]\nGreen is one." in judged.script.prompts[-1]


def test_trls_former_judges(client, judged):
    pairs = [["Seven.", "Blue."], ["Blue.", "Seven."]]
    prompts = ["Name a color."] * 2

    assert trl.PairwiseJudge(client, mode="direct").judge(prompts, pairs) == [1, 0]
    assert (
        trl.RankJudge(client).judge(prompts, [["Seven.", "Blue."]] * 2, shuffle_order=False) == [[1, 0]] * 2
    )
    judged.script.margin = lambda prompt, _: 0.0
    assert trl.PairwiseJudge(client, mode="direct", cache=False).judge(prompts, pairs) == [-1, -1]


def test_former_judges_keep_to_the_pin(world):
    """Their run is pinned: a version that it did not pin never answers it."""
    pairs, prompts = [["Seven.", "Blue."]], ["Name a color."]
    with Client(world.url, pin="run-7", retries=QUICK) as mine:
        mine.make_pin("run-7")
        before = trl.PairwiseJudge(mine, mode="direct").judge(prompts, pairs)
        world.http.post(
            f"/admin/models/{world.versions[1]}/promote", params={"force": True}
        ).raise_for_status()

        with pytest.raises(VersionGone, match=world.versions[1]):
            trl.PairwiseJudge(mine, mode="direct").judge(prompts, pairs)
        with pytest.raises(VersionGone, match=world.versions[1]):
            trl.RankJudge(mine).judge(prompts, pairs)

    assert len(before) == 1
    assert {row.model_version for row in recorded(world)} == {world.versions[0]}


def test_a_run_whose_pin_was_made_anew_by_another_is_told_so(world):
    first, second, _ = world.versions
    with Client(world.url, pin="run-7", retries=QUICK) as mine, Client(world.url) as other:
        mine.make_pin("run-7")
        mine.reward([GOOD])
        other.release_pin("run-7")
        world.http.post(f"/admin/models/{second}/promote").raise_for_status()
        assert other.make_pin("run-7").version == second

        with pytest.raises(Refused, match=first) as caught:
            mine.reward([GOOD])
        assert caught.value.status == 409
        assert mine.make_pin("run-7").version == second
        assert mine.reward([GOOD]).model_version == second


def test_verls_score(judged, monkeypatch):
    monkeypatch.setenv("JUDGESMITH_URL", judged.url)
    verl._client.cache_clear()

    found = verl.compute_score("set", "Blue.", None, {"question": "Name a color."})
    verl.compute_score(
        "set", "Blue.", "Green.", {"raw_prompt": [{"role": "user", "content": "Name a color."}]}
    )

    assert (found["score"], found["judge_empty"]) == (2.0, 0.0)
    assert "[Reference answer]\nGreen." in judged.script.prompts[-1]
    with pytest.raises(KeyError, match="instruction"):
        verl.compute_score("set", "Blue.", None, {})
    judged.script.margin = lambda prompt, _: float("nan")
    with pytest.raises(judgesmith_client.ClientError, match="not finite"):
        verl.compute_score("set", "Red.", None, {"question": "Name a color."})


def test_the_command_line_rewards_a_file_and_names_wrong_lines(judged, tmp_path, capsys):
    lines = [
        {"id": 7, "instruction": "Name a color.", "response": "Blue."},
        {"instruction": "x", "response": ""},
    ]
    file = tmp_path / "responses.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n\n")
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text('{"instruction": "x", "response": "y"}\n{"response": "y"}\n')

    assert cli.main(["--url", judged.url, "reward", str(file)]) == 0
    printed = capsys.readouterr()
    assert cli.main(["--url", judged.url, "reward", str(wrong)]) == 2

    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [(row.get("id"), row["reward"], row["outcome"]) for row in rows] == [
        (7, 2.0, "rewarded"),
        (None, -10.0, "empty"),
    ]
    assert "2 responses, 0 without a reward" in printed.err
    assert "line 2: must have either" in capsys.readouterr().err


def test_the_command_line_pins_and_releases(judged, capsys):
    assert cli.main(["--url", judged.url, "pin", "run-9"]) == 0
    assert judged.versions[0] in capsys.readouterr().out
    assert cli.main(["--url", judged.url, "release", "run-9"]) == 0
    assert cli.main(["--url", judged.url, "release", "run-9"]) == 1
    assert "does not exist" in capsys.readouterr().err


def test_the_client_stands_alone():
    """It is installed where trainers are: nothing of the service, and httpx is all that it needs."""
    root = Path(judgesmith_client.__file__).parents[1]
    code = (
        f"import sys; sys.path.insert(0, {str(root)!r}); before = set(sys.modules)\n"
        "import judgesmith_client, judgesmith_client.trl, judgesmith_client.verl, judgesmith_client.cli\n"
        "print(sorted({name.split('.')[0] for name in set(sys.modules) - before}))"
    )

    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)

    loaded = set(ast.literal_eval(done.stdout))
    assert "httpx" in loaded
    assert not loaded & {"judge", "service", "workers", "stack", "trl", "torch", "pydantic", "fastapi"}

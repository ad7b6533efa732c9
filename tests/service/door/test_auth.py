"""Keys and scopes: who may call what."""

import pytest

from judge.store import keys

OPEN = {"/livez", "/readyz", "/metrics"}
NEEDED = {
    "/judge": "judge",
    "/instructions": "ingest",
    "/review": "review",
    "/admin": "admin",
} | dict.fromkeys(
    ("/reward", "/get_reward", "/slime", "/classify", "/v1", "/v2", "/score", "/rerank", "/pooling"), "reward"
)


def make_key(world, *scopes):
    with world.sessions.begin() as session:
        return keys.create_key(session, "test", scopes, "tenant-1", "test")


def routes(world):
    """Every (method, path) of the OpenAPI document, and the scope that it needs."""
    document = world.http.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        scope = next((scope for prefix, scope in NEEDED.items() if path.startswith(prefix)), None)
        assert scope or path in OPEN, f"{path}: which scope does it need?"
        for method in methods:
            yield method.upper(), path.replace("{", "").replace("}", ""), scope


def call(world, method, path, key=None):
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return world.http.request(method, path, headers=headers, json={})


def test_every_route_admits_its_scope_and_no_other(make_world):
    world = make_world(auth="keys")
    key_of = {scope: make_key(world, scope) for scope in keys.SCOPES}

    for method, path, scope in routes(world):
        if scope is None:
            assert call(world, method, path).status_code == 200
            continue
        assert call(world, method, path).status_code == 401
        for holder, key in key_of.items():
            status = call(world, method, path, key).status_code
            allowed = holder in (scope, "admin")
            assert (status not in (401, 403)) == allowed, f"{holder} on {method} {path}: {status}"


@pytest.mark.parametrize(
    "change", [lambda key: key + "x", lambda key: key[:-1], lambda key: "jsk_0_0", str.upper]
)
def test_a_key_that_is_nearly_right_is_wrong(make_world, change):
    world = make_world(auth="keys")
    key = make_key(world, "judge")

    answer = call(world, "POST", "/judge/pairwise", change(key))

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["type"] == "urn:judgesmith:problem:unauthorized"


def test_only_a_hash_of_the_key_is_stored(make_world):
    world = make_world(auth="keys")
    secret = make_key(world, "judge").split("_", 2)[2]

    with world.sessions() as session:
        rows = session.query(keys.ApiKey).all()

    assert all(secret not in str(vars(row)) for row in rows)


def test_a_revoked_key_stops_working_once_it_is_forgotten(make_world, monkeypatch):
    monkeypatch.setattr("service.door.auth._REMEMBER_S", 0.0)
    world = make_world(auth="keys")
    key = make_key(world, "judge")
    before = call(world, "POST", "/judge/pairwise", key).status_code

    with world.sessions.begin() as session:
        keys.revoke_key(session, key.split("_")[1], "test")

    assert before == 422
    assert call(world, "POST", "/judge/pairwise", key).status_code == 401


def test_the_tenant_of_the_key_is_recorded(make_world):
    from judge.store.tables import DecisionRow

    world = make_world(auth="keys")
    pair = {"instruction": "Name a color.", "response_a": "Blue.", "response_b": "Seven."}
    headers = {"authorization": f"Bearer {make_key(world, 'judge')}"}
    world.http.post("/judge/pairwise", json=pair, headers=headers).raise_for_status()

    with world.sessions() as session:
        assert session.query(DecisionRow).one().tenant == "tenant-1"

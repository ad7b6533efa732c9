"""`judgesmith export`, against a small real gateway and a small real hub."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.stack.test_main import gateway, run

ROWS = [
    {"prompt": [{"role": "user", "content": f"Hi {n}"}], "chosen": [], "instruction_id": n} for n in range(3)
]
BODY = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def dataset(sha256: str = hashlib.sha256(BODY).hexdigest()) -> Any:
    def answer(request: Request, body: bytes) -> Response:
        if request.url.path == "/admin/iterations/7/dataset/pointwise":
            return Response(BODY, media_type="application/jsonl")
        assert request.url.path == "/admin/iterations/7/dataset"
        files = [{"name": "pointwise", "rows": 3, "sha256": sha256}]
        return JSONResponse({"iteration": 7, "digest": "d" * 16, "judged_by": "j" * 16, "files": files})

    return answer


def test_files_and_a_manifest_are_written(tmp_path):
    with gateway(dataset()) as url:
        done = run("export", "7", "--to", str(tmp_path / "out"), "--url", url)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "pointwise.jsonl").read_bytes() == BODY
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["digest"], manifest["files"][0]["file"]) == ("d" * 16, "pointwise.jsonl")
    assert "data_files: pointwise.jsonl" in (tmp_path / "out" / "README.md").read_text()


def test_parquet_has_the_same_rows(tmp_path):
    import pyarrow.parquet

    with gateway(dataset()) as url:
        run("export", "7", "--to", str(tmp_path), "--format", "parquet", "--url", url)

    table = pyarrow.parquet.read_table(tmp_path / "pointwise.parquet")
    assert [row["prompt"] for row in table.to_pylist()] == [row["prompt"] for row in ROWS]
    assert not (tmp_path / "pointwise.jsonl").exists()


def test_a_file_that_is_not_what_the_manifest_says_is_refused(tmp_path):
    with gateway(dataset("0" * 64)) as url:
        refused = run("export", "7", "--to", str(tmp_path), "--url", url)

    assert refused.returncode == 1
    assert "differs from the manifest" in refused.stderr
    assert not (tmp_path / "manifest.json").exists()


@pytest.fixture
def hub() -> Any:
    """The hub's routes for one commit; what was committed is in the list."""
    committed: dict[str, bytes] = {}

    def answer(request: Request, body: bytes) -> Response:
        path = request.url.path
        if path == "/api/repos/create":
            asked = json.loads(body)
            assert (asked["type"], asked["visibility"]) == ("dataset", "private")
            assert request.headers["authorization"] == "Bearer hf_test"
            return JSONResponse({"url": f"{request.base_url}datasets/me/judgments"})
        if path == "/api/validate-yaml":
            return JSONResponse({"warnings": [], "errors": []})
        if path == "/api/datasets/me/judgments/preupload/main":
            files = [
                {**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]
            ]
            return JSONResponse({"files": files})
        if path == "/api/datasets/me/judgments/commit/main":
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    committed[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            url = f"{request.base_url}datasets/me/judgments/commit/abc"
            return JSONResponse({"success": True, "commitOid": "abc", "commitUrl": url})
        return JSONResponse({"error": f"no {path}"}, 404)

    with gateway(answer) as url:
        yield url, committed


def test_it_is_pushed_to_a_hub_as_one_commit(tmp_path, hub):
    endpoint, committed = hub
    with gateway(dataset()) as url:
        done = run(
            "export", "7", "--to", str(tmp_path / "out"), "--push", "me/judgments", "--url", url,
            HF_ENDPOINT=endpoint, HF_TOKEN="hf_test", HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="0",
        )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("/datasets/me/judgments/commit/abc")
    assert committed.keys() == {"README.md", "manifest.json", "pointwise.jsonl"}
    assert committed["pointwise.jsonl"] == BODY


@pytest.mark.parametrize(
    "variables", [{"HF_ENDPOINT": "http://127.0.0.1:1"}, {"HF_HUB_OFFLINE": "1"}], ids=["no way", "offline"]
)
def test_without_a_way_to_the_hub_the_files_are_there_and_the_reason_is_one_line(tmp_path, variables):
    with gateway(dataset()) as url:
        refused = run(
            "export", "7", "--to", str(tmp_path / "out"), "--push", "me/judgments", "--url", url,
            **{"HF_HOME": str(tmp_path / "hf"), **variables},
        )  # fmt: skip

    assert refused.returncode == 1
    assert "was not pushed to me/judgments" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert Path(tmp_path / "out" / "manifest.json").exists()

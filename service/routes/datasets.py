"""`/admin/iterations/{id}/dataset`: what an iteration trained on, for other trainers."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from judge.errors import Conflict
from judge.judging.judge import Judge
from judge.store.keys import Principal
from judge.store.tables import IterationRow
from judge.teaching import dataset, iterations
from judge.teaching.dataset import Part
from judge.teaching.examples import Examples, load_examples
from judge.teaching.planning import judge_of
from judge.teaching.profiles import IterationSettings
from judge.versions.version import VersionStore
from service.door.auth import allow
from service.state import State, state

router = APIRouter(prefix="/admin/iterations/{number}/dataset", tags=["admin"])
Admin = Annotated[Principal, Depends(allow("admin"))]
App = Annotated[State, Depends(state)]


class FileAnswer(BaseModel):
    """One part of a dataset."""

    name: Part
    rows: int
    sha256: str


class DatasetAnswer(BaseModel):
    """A dataset's manifest: its parts, and where it comes from.

    `digest` names this content. `trained_on` names the token ids that the iteration trained on; rows whose
    instruction was deleted since are in those and not in these.
    """

    iteration: int
    digest: str
    trained_on: str | None
    profile: str
    settings: dict[str, Any]
    seed_version: str
    judged_by: str
    candidate: str | None
    files: list[FileAnswer]


@router.get("")
def describe(number: int, caller: Admin, app: App) -> DatasetAnswer:
    """The manifest. It is made from the rows as they are now."""
    row, judge, examples = _load(number, app)
    files = dataset.describe(judge, examples)
    return DatasetAnswer(
        iteration=number,
        digest=dataset.digest(files),
        trained_on=row.counts.get("finetune", {}).get("dataset"),
        profile=row.profile,
        settings=row.settings,
        seed_version=row.seed_version,
        judged_by=row.judged_by,
        candidate=row.candidate,
        files=[FileAnswer(name=file.name, rows=file.rows, sha256=file.sha256) for file in files],
    )


@router.get("/{part}", response_class=StreamingResponse)
def download(number: int, part: Part, caller: Admin, app: App) -> StreamingResponse:
    """One part as JSONL, in the format of TRL's SFT, DPO or reward trainer."""
    _, judge, examples = _load(number, app)
    body: Iterator[bytes] = dataset.lines(judge, examples, part)
    return StreamingResponse(body, media_type="application/jsonl")


def _load(number: int, app: State) -> tuple[IterationRow, Judge, Examples]:
    with app.sessions() as session:
        row = iterations.get(session, number)
        if "filter" not in row.counts:
            raise Conflict(f"iteration {number} is {row.status} and has no training examples")
        settings = IterationSettings.model_validate(row.settings)
        examples = load_examples(session, number, settings)
    store = VersionStore(app.settings.models_dir)
    return row, judge_of(store, row.seed_version, app.settings.max_model_len, settings), examples

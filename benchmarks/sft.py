"""Supervised finetuning by `workers.train` against a bare TRL SFTTrainer: the same rows, model and arguments.

`benchmarks.loop` calls it with rows of its own; `python -m benchmarks.sft CONFIG.json` is the bare run.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from judge.backend.processor import dtype_for
from judge.backend.vllm import Backends
from judge.judging.judge import Judge
from judge.prompts.templates import pairwise_reasoning, pointwise
from judge.settings import DtypeSetting
from judge.teaching.profiles import IterationSettings
from judge.versions.version import VersionStore
from stack.processes.spawn import CODE

Row = dict[str, list[int]]


def compare(model: Path, rows: Sequence[Row], settings: IterationSettings, folder: Path) -> str:
    """A Markdown table; both train in processes of their own, one after the other."""
    folder.mkdir(parents=True)
    judge = Judge.load(VersionStore(model.parent), model.name, Backends([]), 4096)
    once = settings.model_copy(update={"sft_epochs": 1.0})
    config = write(judge, model, {"reasoned": rows}, once, folder, "benchmark")
    tokens = sum(len(row["input_ids"]) for row in rows)
    mine = tokens / seconds("workers.train", config)
    bare = tokens / seconds("benchmarks.sft", config)
    return (
        "\n| rows | tokens | workers.train, tokens/s | bare SFTTrainer | ratio |\n|---|---|---|---|---|\n"
        f"| {len(rows)} | {tokens} | {mine:.0f} | {bare:.0f} | {mine / bare:.3f} |"
    )


def write(
    judge: Judge,
    seed_model: Path,
    datasets: Mapping[str, Sequence[Row]],
    settings: IterationSettings,
    folder: Path,
    run: str,
    dtype: DtypeSetting = "auto",
) -> Path:
    """The files of a finetune stage; a dataset that is not given has no rows. Returns the configuration's."""
    for name in ("reasoned", "preferences", "pointwise", "verdicts", "reads"):
        lines = datasets.get(name, [])
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    labels = {
        f"label_{text.lower()}": judge.assembler.encoder.label(text)
        for template in (pairwise_reasoning(), pointwise())
        for text in template.labels
    }
    config = {
        "seed_model": str(seed_model),
        "folder": str(folder),
        **labels,
        "settings": settings.model_dump(),
        "dtype": dtype_for(dtype),
        "tracker": "none",
        "run": run,
    }
    path = folder / "train.json"
    path.write_text(json.dumps(config))
    return path


def seconds(
    module: str,
    config: Path,
    lesson: str = "reasoned",
    *,
    tree: Path = CODE,
    variables: Mapping[str, str] | None = None,
) -> float:
    """Run it, of this tree or another; a lesson's seconds in the trainer, without loading and saving."""
    with (config.parent / f"{module}.log").open("w+") as log:
        # The input stays open and is never written to: a training ends with who has started it.
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=tree,
            env={**(variables or {}), **os.environ},
        )
        assert process.stdout is not None
        told = process.stdout.read().splitlines()
        if process.wait():
            log.seek(0)
            raise SystemExit(f"{module} ended with code {process.returncode}:\n{log.read()[-2000:]}")
    # `workers.train` rounds to tenths.
    return max(float(json.loads(told[-1])["results"][lesson]["seconds"]), 0.1)


def bare(path: Path) -> None:
    """TRL's own trainer, with the lesson's arguments; without its callbacks, checkpoints and reports."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from workers.train.config import TrainConfig
    from workers.train.weights import load, prepare

    config = TrainConfig.read(path)
    settings, gpu = config.settings, torch.cuda.is_available()
    arguments: dict[str, Any] = {
        "output_dir": str(config.folder / "bare"),
        "use_cpu": not gpu,
        "bf16": config.dtype == "bfloat16",
        "gradient_checkpointing": gpu,
        "num_train_epochs": settings.sft_epochs,
        "learning_rate": settings.sft_learning_rate,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": max(settings.batch_pairs // 2, 1),
        "train_sampling_strategy": "group_by_length",
        "completion_only_loss": True,
        "max_length": None,
        "packing": False,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }
    trainer = SFTTrainer(
        model=prepare(load(config.seed_model), settings, "CAUSAL_LM"),
        args=SFTConfig(**arguments),
        train_dataset=Dataset.from_list(config.rows("reasoned")),
        processing_class=AutoTokenizer.from_pretrained(config.seed_model),
    )
    began = time.monotonic()
    trainer.train()
    print(json.dumps({"results": {"reasoned": {"seconds": time.monotonic() - began}}}))


if __name__ == "__main__":
    bare(Path(sys.argv[1]))

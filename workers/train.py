"""Finetune a seed model on one dataset: `python -m workers.train CONFIG.json`.

The only module that imports torch, TRL and PEFT; the finetune stage runs it as a subprocess.

Two lessons, one after the other, each a LoRA adapter that is merged when done:

1. Reasoned judgments (Self-Taught Evaluators): TRL's SFTTrainer on the judgment's tokens alone.
2. The pointwise read: TRL's RewardTrainer, a Bradley-Terry loss on chosen minus rejected. The reward is
   the log-odds of Yes against No as the next token, so the reward head is the difference of the two rows
   of the output embedding, frozen: the sequence classifier gives exactly what serving will read.

Progress goes to standard output, one JSON object a line. A run that was killed goes on from its last
checkpoint, and a finished lesson is not repeated.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    TrainerCallback,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint
from trl import RewardConfig, RewardTrainer, SFTConfig, SFTTrainer

DONE = "done.json"
_CHANNEL = 1


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """What to train, from `CONFIG.json`. Data files hold token ids, one JSON object a line."""

    seed_model: Path
    output: Path
    reasoned: Path
    pointwise: Path
    yes: int
    no: int
    lora_rank: int
    lora_layers: float
    sft_learning_rate: float
    sft_epochs: float
    pointwise_learning_rate: float
    pointwise_epochs: float
    batch_pairs: int
    seed: int

    @classmethod
    def read(cls, path: Path) -> "TrainConfig":
        """Parse the JSON file that the finetune stage wrote."""
        fields: dict[str, Any] = json.loads(path.read_text())
        for name in ("seed_model", "output", "reasoned", "pointwise"):
            fields[name] = Path(fields[name])
        return cls(**fields)


class Report(TrainerCallback):
    """Prints progress."""

    def __init__(self, lesson: str) -> None:
        self.lesson = lesson

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Called by the trainer after each optimizer step."""
        say(lesson=self.lesson, done=state.global_step, total=state.max_steps)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        """Called by the trainer with the latest figures."""
        kept = ("loss", "accuracy", "learning_rate", "num_tokens", "grad_norm", "mean_token_accuracy")
        say(lesson=self.lesson, step=state.global_step, **{k: logs[k] for k in kept if k in logs})


def say(**fields: Any) -> None:
    """Write one line for the finetune stage."""
    os.write(_CHANNEL, (json.dumps(fields) + "\n").encode())


def main(config: TrainConfig) -> None:
    """Run both lessons and write the candidate's folder."""
    set_seed(config.seed)
    torch.set_num_threads(max(torch.get_num_threads(), 1))
    current = config.seed_model
    results: dict[str, Any] = {}
    for lesson, teach in (("reasoned", teach_reasoning), ("pointwise", teach_pointwise)):
        folder = config.output / lesson
        if not (folder / DONE).exists():
            results[lesson] = teach(config, current, folder)
            if results[lesson] is None:
                continue
            (folder / DONE).write_text(json.dumps(results[lesson]))
        results[lesson] = json.loads((folder / DONE).read_text())
        current = folder / "merged"
    write_candidate(current, config.seed_model, config.output / "candidate")
    say(finished=True, results=results)


def teach_reasoning(config: TrainConfig, start: Path, folder: Path) -> dict[str, Any] | None:
    """Supervised finetuning on judgments: `{"input_ids", "completion_mask"}` rows. None without rows."""
    rows = list(read_rows(config.reasoned))
    if not rows or config.sft_epochs == 0:
        return None
    model = adapted(AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32), config, "CAUSAL_LM")
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **common(config, folder),
            learning_rate=config.sft_learning_rate,
            num_train_epochs=config.sft_epochs,
            per_device_train_batch_size=2,
            gradient_accumulation_steps=max(config.batch_pairs // 2, 1),
            completion_only_loss=True,
            max_length=None,
            packing=False,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(config.seed_model),
        callbacks=[Report("reasoned")],
    )
    return run(trainer, folder, AutoModelForCausalLM, start, len(rows))


def teach_pointwise(config: TrainConfig, start: Path, folder: Path) -> dict[str, Any] | None:
    """Bradley-Terry on the pointwise read: `{"chosen_ids", "rejected_ids"}` rows. None without rows."""
    rows = list(read_rows(config.pointwise))
    if not rows or config.pointwise_epochs == 0:
        return None
    classifier = AutoModelForSequenceClassification.from_pretrained(start, num_labels=1, dtype=torch.float32)
    language_model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    output_rows = language_model.get_output_embeddings().weight
    with torch.no_grad():
        classifier.score.weight.copy_((output_rows[config.yes] - output_rows[config.no]).unsqueeze(0))
    trainer = RewardTrainer(
        model=adapted(classifier, config, "SEQ_CLS"),
        args=RewardConfig(
            **common(config, folder),
            learning_rate=config.pointwise_learning_rate,
            num_train_epochs=config.pointwise_epochs,
            per_device_train_batch_size=config.batch_pairs,
            max_length=None,
            # The sampler groups by this column, which the trainer would drop as unused.
            remove_unused_columns=False,
            length_column_name="length",
        ),
        train_dataset=Dataset.from_list([{**row, "length": _length(row)} for row in rows]),
        processing_class=AutoTokenizer.from_pretrained(config.seed_model),
        callbacks=[Report("pointwise")],
    )
    return run(trainer, folder, AutoModelForCausalLM, start, len(rows))


def adapted(model: PreTrainedModel, config: TrainConfig, task: str) -> Any:
    """The model with LoRA adapters on every linear layer of its upper layers."""
    layers = model.config.num_hidden_layers
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in name
    }
    lora = LoraConfig(
        task_type=task,
        r=config.lora_rank,
        lora_alpha=2 * config.lora_rank,
        target_modules=sorted(names),
        layers_to_transform=list(range(layers - max(1, round(layers * config.lora_layers)), layers)),
        # A classifier's head would be trained by default; ours is the model's own output rows.
        modules_to_save=[],
    )
    wrapped = get_peft_model(model, lora)
    for name, parameter in wrapped.named_parameters():
        parameter.requires_grad = "lora_" in name
    return wrapped


def common(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """The training arguments that both lessons share."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(folder / "checkpoints"),
        "use_cpu": not gpu,
        "bf16": True,
        "gradient_checkpointing": gpu,
        "lr_scheduler_type": "cosine",
        "warmup_steps": 0.1,
        "adam_beta2": 0.95,
        "weight_decay": 0.1,
        "max_grad_norm": 1.0,
        "logging_steps": 5,
        "save_steps": 50,
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": config.seed,
        "train_sampling_strategy": "group_by_length",
    }


def run(trainer: Any, folder: Path, kind: type[Any], start: Path, examples: int) -> dict[str, Any]:
    """Train from the last checkpoint if there is one, then merge the adapter into its base and save it."""
    checkpoints = folder / "checkpoints"
    last = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    began = time.monotonic()
    output = trainer.train(resume_from_checkpoint=last)
    adapter = {name: value.detach() for name, value in trainer.model.state_dict().items() if "lora_" in name}
    merged = merge(kind, start, trainer.model.peft_config["default"], adapter)
    merged.save_pretrained(folder / "merged")
    return {
        "examples": examples,
        "steps": trainer.state.global_step,
        "seconds": round(time.monotonic() - began, 1),
        "loss": round(output.training_loss, 5),
    }


def merge(kind: type[Any], start: Path, lora: LoraConfig, adapter: dict[str, torch.Tensor]) -> Any:
    """The start model with an adapter folded into its weights, in float32."""
    lora.task_type = "CAUSAL_LM"
    wrapped = get_peft_model(kind.from_pretrained(start, dtype=torch.float32), lora)
    missing = set(adapter) - set(wrapped.state_dict())
    if missing:
        raise RuntimeError(f"adapter tensors without a place in the model: {sorted(missing)[:3]}")
    wrapped.load_state_dict(adapter, strict=False)
    return wrapped.merge_and_unload()


def write_candidate(trained: Path, seed_model: Path, folder: Path) -> None:
    """The served form: the seed model's type of numbers, its tokenizer and its config files."""
    dtype = getattr(torch, json.loads((seed_model / "config.json").read_text())["dtype"])
    temporary = folder.with_suffix(".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(trained, dtype=dtype)
    model.save_pretrained(temporary)
    for path in seed_model.iterdir():
        if path.suffix != ".safetensors" and path.name not in ("manifest.json", "README.md"):
            shutil.copyfile(path, temporary / path.name)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def read_rows(path: Path) -> Iterator[dict[str, Sequence[int]]]:
    """The rows of a JSONL file."""
    with path.open() as stream:
        for line in stream:
            yield json.loads(line)


def _length(row: dict[str, Sequence[int]]) -> int:
    return max(len(ids) for ids in row.values())


def keep_output_clean() -> None:
    """Leave standard output to `say`: whatever the libraries print goes to standard error."""
    global _CHANNEL
    _CHANNEL = os.dup(1)
    os.dup2(2, 1)


if __name__ == "__main__":
    keep_output_clean()
    main(TrainConfig.read(Path(sys.argv[1])))

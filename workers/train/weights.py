"""What of a model is trained, and how it gets back into a whole model."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from judge.teaching.profiles import IterationSettings


def load(folder: Path) -> Any:
    """A language model in float32, the type that is trained in."""
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def lora(model: PreTrainedModel, settings: IterationSettings, task: str) -> LoraConfig:
    """Adapters on every linear layer of the model's upper layers."""
    names = {
        name.rsplit(".", 1)[-1]
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layers." in name
    }
    return LoraConfig(
        task_type=task,
        r=settings.lora_rank,
        lora_alpha=2 * settings.lora_rank,
        target_modules=sorted(names),
        layers_to_transform=_upper(model, settings.trained_layers),
        # A classifier's head would be trained by default; ours is the model's own output rows.
        modules_to_save=[],
    )


def prepare(model: PreTrainedModel, settings: IterationSettings, task: str) -> Any:
    """The model with adapters (`method` lora), or with all below its upper layers frozen (full).

    Neither way trains the embedding: its rows are also the output's, and the pointwise head is made of two.
    """
    if settings.method == "lora":
        wrapped = get_peft_model(model, lora(model, settings, task))
        for name, parameter in wrapped.named_parameters():
            parameter.requires_grad = "lora_" in name
        return wrapped
    return freeze(model, settings)


def freeze(model: PreTrainedModel, settings: IterationSettings) -> PreTrainedModel:
    """The model with only its upper layers left to train."""
    upper = {f".layers.{index}." for index in _upper(model, settings.trained_layers)}
    for name, parameter in model.named_parameters():
        parameter.requires_grad = any(layer in name for layer in upper)
    return model


def folded(start: Path, trained: Any, settings: IterationSettings) -> Any:
    """The start model with the trained parameters of `trained` in it, in float32."""
    changed = {name: value.detach() for name, value in trained.named_parameters() if value.requires_grad}
    model = load(start)
    if settings.method == "lora":
        model = get_peft_model(model, lora(model, settings, "CAUSAL_LM"))
    missing = set(changed) - set(model.state_dict())
    if missing:
        raise RuntimeError(f"trained tensors without a place in the model: {sorted(missing)[:3]}")
    model.load_state_dict(changed, strict=False)
    return model.merge_and_unload() if settings.method == "lora" else model


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


def _upper(model: PreTrainedModel, share: float) -> list[int]:
    layers = model.config.num_hidden_layers
    return list(range(layers - max(1, round(layers * share)), layers))

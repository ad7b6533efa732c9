"""A tiny but whole model folder for tests: a two-layer Llama with random weights and a real tokenizer."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Added, but not flagged special: split_special_tokens alone would let it through.
UNFLAGGED = "<tool_call>"
HIDDEN, LAYERS, HEADS, INNER = 32, 2, 4, 64


def make_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Write the folder; another seed gives other weights and the same tokenizer."""
    folder.mkdir(parents=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HIDDEN // HEADS,
        "vocab_size": size,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 2,
        "dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    names = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[1],
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[2],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    save_file(_weights(size, seed), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE in which the judge's labels are one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = (
        "Yes No A B the response does what was asked and the conversation is about response A or response B"
    )
    tokenizer.train_from_iterator([text, "Yes\nNo\n"] * 50, trainer)
    tokenizer.add_tokens([AddedToken(UNFLAGGED, special=False, normalized=False)])
    return tokenizer


def _weights(vocabulary: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)

    def matrix(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.1, shape).astype(np.float32)

    weights = {
        "model.embed_tokens.weight": matrix(vocabulary, HIDDEN),
        "model.norm.weight": np.ones(HIDDEN, np.float32),
    }
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            weights[f"{prefix}.self_attn.{name}.weight"] = matrix(HIDDEN, HIDDEN)
        weights[f"{prefix}.mlp.gate_proj.weight"] = matrix(INNER, HIDDEN)
        weights[f"{prefix}.mlp.up_proj.weight"] = matrix(INNER, HIDDEN)
        weights[f"{prefix}.mlp.down_proj.weight"] = matrix(HIDDEN, INNER)
        weights[f"{prefix}.input_layernorm.weight"] = np.ones(HIDDEN, np.float32)
        weights[f"{prefix}.post_attention_layernorm.weight"] = np.ones(HIDDEN, np.float32)
    return weights

"""A model's chat template, rendered by Jinja as transformers renders it.

transformers' own renderer imports torch, which a gateway or a forking worker must not: here the same
template runs in the same sandbox. A test holds the two to the same text.
"""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from judge.errors import BadModel

Render = Callable[[list[dict[str, str]]], str]


def load_chat_template(folder: Path) -> Render:
    """Read the chat template of a Hugging Face folder.

    Returns a function from messages to the text up to where the assistant begins to write. For a
    model without a system role the system text leads the first user turn.

    Raises:
        BadModel: the folder has no chat template.
    """
    config: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").is_file():
        config = json.loads((folder / "tokenizer_config.json").read_text())
    path = folder / "chat_template.jinja"
    source = path.read_text() if path.is_file() else config.get("chat_template")
    if not isinstance(source, str):
        raise BadModel(f"{folder} has no chat template; name an instruction-tuned model")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: datetime.now().astimezone().strftime(form)
    template = environment.from_string(source)
    tokens = {name: _token_text(config.get(name)) for name in ("bos_token", "eos_token", "pad_token")}

    def render(messages: list[dict[str, str]]) -> str:
        try:
            return template.render(messages=messages, add_generation_prompt=True, **tokens)
        except TemplateError:
            system, first, *rest = messages
            if system["role"] != "system" or first["role"] != "user":
                raise
            merged = {"role": "user", "content": f"{system['content']}\n\n{first['content']}"}
            return template.render(messages=[merged, *rest], add_generation_prompt=True, **tokens)

    return render


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _token_text(token: object) -> str:
    """A special token of tokenizer_config.json: a string, or an object with its content."""
    if isinstance(token, dict):
        return str(token.get("content", ""))
    return str(token or "")

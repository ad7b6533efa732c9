"""A backend that answers at once, so that what stands before it can be measured: `python -m uvicorn` runs it.

    SCRIPTED_MODELS=HOME/models uvicorn --app-dir benchmarks scripted_backend:app --port 8000

It speaks as much of vLLM's token-in-token-out route as a gateway needs, and chat completions for other
servers. It says that it serves the version in SCRIPTED_MODELS. Nothing of it is part of the service.
"""

import json
import os
from pathlib import Path
from typing import Any

MODELS = Path(os.environ.get("SCRIPTED_MODELS", "/nonexistent"))
_VERDICT = json.dumps({"decision": "response_a", "reasoning": "It is on topic.", "score": None})
_CHAT = json.dumps(
    {
        "id": "chat",
        "object": "chat.completion",
        "created": 0,
        "model": "judge",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": _VERDICT}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()
_LIST = json.dumps({"object": "list", "data": [{"id": "judge", "object": "model"}]}).encode()


def version() -> str:
    """The one version that the stack has stored, once it has."""
    return next((path.name for path in MODELS.glob("*") if path.is_dir()), "default")


def labels(body: dict[str, Any], serving: str) -> bytes:
    """Log-probabilities of the two labels that were asked for; made from the prompt's length."""
    first, second = body["sampling_params"]["logprob_token_ids"]
    margin = len(body["token_ids"]) % 7 - 3
    top = [
        {"token_id": first, "logprob": -1.0 + margin / 10, "rank": 1},
        {"token_id": second, "logprob": -1.0, "rank": 2},
    ]
    content = [{"token_id": first, "logprob": top[0]["logprob"], "top_logprobs": top}]
    choice = {
        "index": 0,
        "finish_reason": "length",
        "token_ids": [first],
        "logprobs": {"content": content},
        "weight_versions": [{"version": serving, "start": 0, "end": 1}],
    }
    usage = {"prompt_tokens": len(body["token_ids"]), "completion_tokens": 1}
    return json.dumps({"choices": [choice], "usage": usage}).encode()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """ASGI, without a framework between."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    path = scope["path"]
    if path == "/inference/v1/generate":
        answer = labels(json.loads(body), version())
    elif path == "/v1/chat/completions":
        answer = _CHAT
    elif path == "/v1/models":
        answer = _LIST
    elif path == "/weight_info":
        answer = json.dumps({"weight_version": version()}).encode()
    else:
        answer = b"{}"
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer})

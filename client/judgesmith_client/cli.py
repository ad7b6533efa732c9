"""`judgesmith-client`: rewards for the lines of a file, and pins.

    judgesmith-client reward responses.jsonl > rewards.jsonl
    judgesmith-client pin ppo-run-7
    judgesmith-client release ppo-run-7

Lines are `{"instruction" | "messages", "response", "reference"?, "rival"?, "group"?, "id"?}`; each comes back
with its `reward` and `outcome`, in the same order. `-` is standard input.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judgesmith_client.client import Client
from judgesmith_client.environment import client_of_environment
from judgesmith_client.errors import ClientError
from judgesmith_client.values import Item


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 if an item has no reward or the service cannot be reached; 2 for a wrong line or command."""
    options = _parser().parse_args(arguments)
    with client_of_environment(options.url, options.key, options.pin) as client:
        try:
            code: int = options.run(client, options)
        except ClientError as error:
            print(f"judgesmith-client: {error}", file=sys.stderr)
            return 1
        except _WrongLine as error:
            print(f"judgesmith-client: {error}", file=sys.stderr)
            return 2
    return code


class _WrongLine(Exception):
    pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="judgesmith-client", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", help="of the gateway; default: JUDGESMITH_URL, else http://127.0.0.1:8080")
    parser.add_argument("--key", help="API key; default: JUDGESMITH_KEY")
    parser.add_argument("--pin", help="the pin that names the version; default: JUDGESMITH_PIN")
    commands = parser.add_subparsers(required=True)
    reward = commands.add_parser("reward", help="reward the lines of a file")
    reward.add_argument("file")
    reward.add_argument("--form", choices=["log_odds", "probability", "rating"], default="log_odds")
    reward.add_argument("--against", choices=["reference", "group"])
    reward.set_defaults(run=_reward)
    pin = commands.add_parser("pin", help="hold the version in service for a run")
    pin.add_argument("name")
    pin.add_argument("--version", help="default: the champion")
    pin.add_argument("--ttl-s", type=int, default=3600, help="seconds it lasts after its last use")
    pin.set_defaults(run=_pin)
    release = commands.add_parser("release", help="let it go")
    release.add_argument("name")
    release.set_defaults(run=_release)
    return parser


def _reward(client: Client, options: argparse.Namespace) -> int:
    text = sys.stdin.read() if options.file == "-" else Path(options.file).read_text("utf-8")
    rows = _read(text.split("\n"))
    chosen = {"form": options.form} | ({"against": options.against} if options.against else {})
    found = client.reward([_item(row) for row in rows], **chosen)
    for row, one in zip(rows, found.rewards, strict=True):
        added = {"reward": one.reward, "outcome": one.outcome, "model_version": found.model_version}
        print(json.dumps(row | added | ({"reason": one.reason} if one.reason else {}), ensure_ascii=False))
    missing = sum(one.reward is None for one in found.rewards)
    print(f"{len(rows)} responses, {missing} without a reward", file=sys.stderr)
    return 1 if missing else 0


def _pin(client: Client, options: argparse.Namespace) -> int:
    made = client.make_pin(options.name, options.version, options.ttl_s)
    print(f"{made.name} holds {made.version} until {made.expires_at}, and longer while it is used")
    return 0


def _release(client: Client, options: argparse.Namespace) -> int:
    client.release_pin(options.name)
    return 0


def _read(lines: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise _WrongLine(f"line {number}: {error}") from error
        if not isinstance(row, dict) or not isinstance(row.get("response"), str):
            raise _WrongLine(f"line {number}: must be an object with a text as `response`")
        if ("instruction" in row) == ("messages" in row):
            raise _WrongLine(f"line {number}: must have either `instruction` or `messages`")
        rows.append(row)
    return rows


def _item(row: dict[str, Any]) -> Item:
    instruction = row["instruction"] if "instruction" in row else row["messages"]
    return Item(instruction, row["response"], row.get("reference"), row.get("rival"), row.get("group"))


if __name__ == "__main__":
    sys.exit(main())

"""Rewards and verdicts of a Judgesmith service."""

from judgesmith_client.client import AsyncClient, Client
from judgesmith_client.errors import ClientError, Malformed, OutOfReach, Refused, VersionGone
from judgesmith_client.retrying import Retries
from judgesmith_client.values import Decision, Item, Pin, Reward, Rewards

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "Decision",
    "Item",
    "Malformed",
    "OutOfReach",
    "Pin",
    "Refused",
    "Retries",
    "Reward",
    "Rewards",
    "VersionGone",
]

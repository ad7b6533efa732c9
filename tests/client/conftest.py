"""The gateway of the service's tests, for its clients."""

from tests.service.conftest import make_world, world

__all__ = ["make_world", "world"]

"""The whole gateway of the service's tests, to be measured from outside."""

from tests.service.conftest import make_world, world

__all__ = ["make_world", "world"]

"""Redis for what is changed there."""

from tests.stores import redis_server as redis_server

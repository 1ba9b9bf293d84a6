"""Every kind of store: a test that takes ``store`` runs on each of them, a fresh one each time."""

from tests.stores import redis_server as redis_server
from tests.stores import store as store
from tests.stores import store_url as store_url

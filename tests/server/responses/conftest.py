"""Every kind of store, as in :mod:`tests.stores`."""

from tests.stores import redis_server as redis_server
from tests.stores import store as store
from tests.stores import store_url as store_url

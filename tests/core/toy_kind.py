"""A kind of server that nobody else knows, for pytest (``-p``): a row of the table, and nothing more.

It is there before any other module has read the table, as a row in the source would be.
"""

from gptoss_api.core.servers import SERVER_KINDS, ServerKind

TOY = ServerKind(
    "toy",
    "Toy",
    "http://127.0.0.1:49/v1",
    hosts=("api.toy.example",),
    port=49,
    port_is_telling=True,
    key_variables=("TOY_API_KEY",),
    key_step="Set TOY_API_KEY to a key from the toy shop.",
)
SERVER_KINDS[TOY.name] = TOY

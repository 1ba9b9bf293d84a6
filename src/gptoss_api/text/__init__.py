"""Sans-I/O machines over characters and bytes; no asyncio, no sockets."""

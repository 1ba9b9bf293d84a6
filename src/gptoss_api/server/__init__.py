"""The HTTP side facing clients; the only room that knows ASGI."""

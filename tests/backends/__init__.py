"""Servers of gpt-oss, played over real sockets: how each writes its answers and what it refuses."""

"""Measures how well an upstream serves gpt-oss: fixed cases, pure judges, and a score card that is kept.

What a server itself says is judged as it came over the wire, before anything is mended, and beside it what
the gateway makes of it.
"""

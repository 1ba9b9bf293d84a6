"""A client API of a few lines: the example that docs/extending.md walks through, served by the tests."""

from .dialect import ToyDialect

__all__ = ["ToyDialect"]

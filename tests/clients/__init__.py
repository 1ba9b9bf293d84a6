"""Agents and frameworks that people point at the gateway, each unchanged and in its own words.

They drag many packages, so they have an environment of their own: ``make e2e`` makes it and runs them.
"""

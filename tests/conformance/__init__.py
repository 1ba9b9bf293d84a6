"""Suites that say what a server of these APIs must do, over both kinds of upstream (``make conformance``)."""

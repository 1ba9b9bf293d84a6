"""The simulator's own tests: an upstream that lies about its bytes would make every other test worthless."""

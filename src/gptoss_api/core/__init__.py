"""What every room speaks: turns, events, errors and models. Imports nothing else of the package."""

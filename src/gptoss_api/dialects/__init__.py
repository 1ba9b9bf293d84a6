"""Client APIs: each parses its requests into a Turn and renders events back into its own bytes."""

"""Pages and files served as they are."""

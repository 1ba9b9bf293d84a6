"""What comes back: the events of upstream turns become the answer that the client asked for."""

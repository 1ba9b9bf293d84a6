"""An upstream that is not ours: a small app on the official ChatKit server SDK, newest and oldest."""

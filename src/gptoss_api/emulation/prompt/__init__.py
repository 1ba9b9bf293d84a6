"""What goes up: a whole turn as one text, or in the terms of an upstream that knows more than that."""

"""What the unit accepts, remembers and answers: from the sealed message to the command, and back."""

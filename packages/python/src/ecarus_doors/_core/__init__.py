"""What both halves share, without a connection: requests, what follows an answer, events, models."""

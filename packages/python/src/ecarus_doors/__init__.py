"""Lock, unlock and watch vehicles."""

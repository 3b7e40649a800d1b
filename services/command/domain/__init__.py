"""What a command is, and the rules of its life: states, changes, the functions between. Standard library only."""

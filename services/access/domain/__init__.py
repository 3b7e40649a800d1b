"""Rules of who may do what: roles, actions, grants, scopes. Standard library only."""

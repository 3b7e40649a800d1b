"""The services of the mesh, one room each, and `runtime`, which knows how any of them boots and talks."""

"""The services of the mesh, one service each, and `runtime`, which knows how any of them boots and talks."""

"""The services of the mesh, one package each.

`platform` knows how any of them boots and talks, `telematics` speaks the vehicle protocol, `registry` lists them all.
"""

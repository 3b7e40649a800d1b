"""Door diagnostics: the health of a vehicle's door system as of its last self-check.

What is shown never goes back in time. An alert appears with the report that first shows its cause,
keeps that time while the cause lasts, and everybody who watches the vehicle is told when it appears
and when it is gone: with the same commit that makes it so.
"""

"""The protocol's keys as PEM files: the one place where cloud, vehicle and operators read and write them.

The protocol itself does no I/O; whoever imports this has a disk.
"""

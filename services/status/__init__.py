"""The status service: how a vehicle's doors stand, now and live.

It ingests what vehicles report and never goes back in time; it answers the last state, also of a
vehicle that is out of reach, and says when that is stale; it streams what changes, resumable without
gap, duplicate or reorder. Each look at a status is told to the history. Advisory states of what stands in a
command's way are published for the services that can refuse early. A vehicle that said that it moved doors
is held to it: its next report confirms or contradicts it.
"""

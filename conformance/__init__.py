"""The conformance kit: is this unit a vehicle by docs/vehicle-protocol.md? See docs/conformance.md.

It is a little cloud of its own that plays duplicates, reordering, lost replies, skewed clocks, reboots, rotated
keys, expired and forged orders on one unit that it reaches over a broker, and says pass or fail per rule.
It knows the protocol, and nothing of the product's cloud or of the reference vehicle.

- `keys`, `cloud`: the cloud's keys, what it signs and what it accepts; `forge`: what no cloud would send.
- `throwaway_broker`, `link`: a broker for the run, and the cloud's connection to a broker.
- `unit`: the unit under test, as verbs; `orders`: what it is ordered; `hands`: what is done to it besides messages.
- `rules`: one file per group; `runner` plays them; `provision` writes what the unit must be made with.
"""

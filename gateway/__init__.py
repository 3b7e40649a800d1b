"""What Envoy cannot do by itself: the WebSocket of live updates, and the filter that gives REST its correlation ids and
errors (`edge.lua`, which Envoy loads itself).

`python -m gateway` serves the WebSocket behind Envoy: TLS, addresses and who somebody is are Envoy's and access's to
say. It holds no right of its own. What it tells a reader it is told by the status service under a capability that
access has signed for that reader and vehicle, and that ends with the right behind it.
"""

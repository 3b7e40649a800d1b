"""What Envoy cannot say in envoy.yaml: `edge.lua`, the filter that gives REST its correlation ids and errors.

Envoy loads the file itself; nothing here runs in Python.
"""

"""The key that the product specification prints, so that its sample lines work on a sandbox.

Everybody knows it. It opens nothing outside of the sandbox profile, and a service with another profile
refuses to start when it is among its keys.
"""

PUBLISHED_KEY = "sk_4f9c7b8e2d1a6c0f3e7a9b5d8c1e4f2a7c6d9e0b3f5a8c1d4e7f9b2c6a1e3d"

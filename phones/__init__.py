"""Simulated phones, and the push services that reach them: FCM (HTTP v1), APNs and Web Push, on loopback TLS.

For the sandbox and the tests. The push services are true to their protocols: they look at every credential, header and
member that the real ones look at, and answer in their words. Nothing here shares code with what sends to them.
"""

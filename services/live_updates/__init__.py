"""Live updates as people read them, for each service that tells of them: whose they are, under which id, in which JSON.

Event streams, WebSockets and webhooks tell the same update in the same words.
"""

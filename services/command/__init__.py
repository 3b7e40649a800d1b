"""Commands to the doors: taking them in, handing them to the vehicle, and telling how they ended.

What this service promises: a 202 is a durable command; a command id reaches exactly one final status,
within its time to live plus ten seconds of any fault's end; one command at a time per vehicle; the
same request twice is one command; what can no longer be authorised is never handed over.
"""

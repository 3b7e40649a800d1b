"""Notification: what happened to a person's car, told to that person's phones.

An event is told once to each device, however often the broker brings it: the row that says so is committed before the
event is acknowledged. Who is told is asked when a message leaves, so a right that ended meanwhile gets nothing. No
command and no report waits for this service.
"""

"""Door settings: what the owner wants, and what the vehicle runs with.

A change is answered once it is stored durably, together with its audit entry and the message to the
vehicle; it is never lost and never applied in part. Two changes at once are both kept. The message is signed
as it leaves, and only while whoever asked for the change may still make it. The vehicle's signed answer says
whether it runs with the settings, and why not; an old answer never replaces a newer one.
"""

"""What can be asked of door status: ingesting reports, reading, watching, publishing advisories."""

"""Many cars in one process, and the hands on them. A real unit has none of this."""

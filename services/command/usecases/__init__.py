"""What is done for who asks, when vehicles speak or keep silent, and when rights end; and what it takes (ports)."""

"""What tidegate survives: a row a fault, run against real servers and real processes of both languages."""

"""What no single language owns: shared test servers, the naive manager, the races."""

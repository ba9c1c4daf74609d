"""What builds of packages need besides the compilers."""

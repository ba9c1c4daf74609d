//! Times, sizes and hostile bytes as people read them.

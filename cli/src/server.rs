//! From the options to a server and a manager.

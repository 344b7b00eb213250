//! Flags, environment and file become one checked configuration; all defaults stand here.

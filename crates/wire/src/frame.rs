//! Lines in and out, bounded.

//! The only user of libc, `/proc` and `/sys`. Knows no word of the domain.

pub mod fs;
pub mod netns;
pub mod tap;

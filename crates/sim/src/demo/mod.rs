//! The offline demo: three signed jobs through the real program.

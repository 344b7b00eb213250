//! One fake for each seam, each with its vices.

//! Two browsers: a real Chromium, and one that knows nothing but forms and where they lead.

mod chromium;
mod forms;

pub use chromium::Chromium;
pub use forms::{Forms, Page};

//! A text that must not be seen: no `Debug`, no `Display`, overwritten when dropped.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A secret text. It goes over the wire in the open (the wire is host memory) and nowhere else.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over.
    #[must_use]
    pub fn new(text: String) -> Self {
        Secret(Zeroizing::new(text))
    }

    /// The text, for the one place that needs it. Never format it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

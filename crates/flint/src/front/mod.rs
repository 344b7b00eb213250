//! The half of Flint that faces the network, and the little that the root half needs to keep it.
//!
//! In the child: [`half`] confines itself, then [`server`] takes connections, [`webhook`] proves and reads deliveries,
//! and [`link`](mod@link) carries facts to the root half as [`words`]. In the root half: [`keeper`] starts the child and
//! starts it again, [`desk`] checks what it says and answers.

mod bodies;
mod confine;
pub mod desk;
pub mod error;
mod gates;
pub mod half;
pub mod keeper;
pub mod link;
mod pages;
mod places;
pub mod server;
mod talk;
pub mod tls;
pub mod tls_files;
pub mod webhook;
pub mod words;

pub use error::Error;
pub use link::Link;

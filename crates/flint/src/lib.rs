//! Flint: for each workflow job one fresh microVM on your own host. The rooms, and who may touch what, are in
//! `ARCHITECTURE.md`.

pub mod api;
pub mod assemble;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod error;
pub mod forge;
pub mod front;
pub mod host;
pub mod images;
pub mod init;
pub mod net;
pub mod replay;
pub mod steps;
pub mod store;
pub mod sys;
pub(crate) mod text;
pub mod vmm;

//! What survives the process.
//!
//! The pure rooms say what has changed as [`record`]s; whoever runs them writes these down in
//! batches (`journal`), and lets promises out when they are on the disk. At the next start the
//! records make an [`image`], from which the pure rooms go on.
//!
//! ```text
//! core, mqtt ──records──▶ engine ──commits──▶ journal ──▶ storage (files, or a model of a disk)
//!     ▲                      ▲                   │
//!     └──────image───────────┴────── outcome ────┘
//! ```

#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)
)]

pub mod commit;
#[cfg(feature = "gateway")]
pub mod file;
#[cfg(feature = "mqtt")]
mod frame;
pub mod image;
#[cfg(feature = "mqtt")]
pub mod journal;
pub mod record;
#[cfg(feature = "mqtt")]
mod replay;
#[cfg(feature = "gateway")]
pub mod writer;

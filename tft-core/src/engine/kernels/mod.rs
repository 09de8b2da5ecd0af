//! The kernels: one operation each, on rows that lie in the lanes of vectors.
#![allow(clippy::inline_always, reason = "code must end up inside the function of its instruction set")]
#![allow(clippy::needless_range_loop, reason = "loops over the vectors of a group unroll only in this form")]

pub(super) mod activation;
pub(super) mod attention;
pub(super) mod linear;
pub(super) mod lstm;
#[cfg(test)]
mod near;
pub(super) mod norm;
pub(super) mod residual;
pub(super) mod selection;

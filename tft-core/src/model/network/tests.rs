//! The stages of the network, compared with those of the reference.

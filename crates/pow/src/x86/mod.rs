//! Hashing with the instructions of particular x86-64 CPUs, chosen at run time.

pub(crate) mod avx2;
pub(crate) mod shani;

//! SHA-256d kernels, targets and nonce scanning.

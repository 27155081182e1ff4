//! What keeps the program from doing harm where others fail: pure, with time and chance as parameters.

pub mod breaker;

//! What everything-rust does, with the SDK of ABI 0.1.0.

#[path = "../../everything-rust/src/lib.rs"]
mod everything;

//! All integration tests, as one binary.

mod settings;
mod telemetry;

//! The admin API: JSON over HTTP on a Unix socket in the data directory, and over TCP with a token.
//!
//! | request | does |
//! | --- | --- |
//! | `GET /status` | every sink's status |
//! | `GET /metrics` | metrics in Prometheus' text form |
//! | `GET /sinks/NAME/history` | what ran when |
//! | `GET /sinks/NAME/parked` | the parked events |
//! | `POST /sinks/NAME/pause`, `resume` | pauses, resumes |
//! | `POST /sinks/NAME/replay?from=POSITION[&reset-state=true\|false]` | puts again from a position on |
//! | `POST /sinks/NAME/swap`, a component as the body | puts another version in charge |
//! | `POST /sinks/NAME/parked/put[?position=P]`, `drop` | puts parked events again, or removes them |
//!
//! An order answers `{"message":…}`, an error `{"error":…}` with a status of 4xx or 5xx.

mod client;
mod listen;
mod metrics;
mod routes;
mod watch;

pub use client::{Client, ClientError};
pub use listen::{ListenError, Listening, listen_tcp, listen_unix};
pub use metrics::{METRICS, start_metrics};
pub use routes::{Admin, StatusReport};
pub use watch::watch_file;

/// The name of the socket in the data directory.
pub const SOCKET: &str = "admin.sock";

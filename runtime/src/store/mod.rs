//! The event store on files: hydra-node's `state` log, read beside the node and written by ourselves.
//!
//! * [`LogReader`] reads a log with its rotated files in order and follows it while it grows, is rotated or replaced.
//! * [`LogAppender`] appends durably, [`GroupCommit`] for many clients at once; both over [`LogFile`], which tests replace
//!   by a file that loses what was not synced.
//! * [`repair`] mends a torn tail, [`survey`] says whether a log is whole.

mod appender;
mod decode;
mod files;
mod follow;
mod glued;
mod group_commit;
mod line_reader;
mod log_file;
mod owner;
mod reader;
mod repair;
mod report;
mod survey;

pub use appender::{AppendError, LogAppender};
pub use files::{FileId, LogFiles};
pub use group_commit::{GROUP_BYTES, GROUP_EVENTS, GroupCommit, Queued};
pub use line_reader::DEFAULT_MAX_LINE;
pub use log_file::{DiskFile, LogFile};
pub use owner::{OwnError, own, refuse_node_folder};
pub use reader::{LogReader, OnBadLine, ReadError, ReadOptions, ReadPage};
pub use repair::{Repair, RepairError, repair};
pub use report::{BadLine, Finding, LineFault, Place, TailKind};
pub use survey::{Survey, survey};

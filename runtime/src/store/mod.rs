//! The event store on files: hydra-node's `state` log, read beside the node and written by ourselves.
//!
//! * [`LogReader`] reads a log with its rotated files in order and follows it while it grows, is rotated or replaced.
//! * [`LogAppender`] appends durably, [`GroupCommit`] for many clients at once; both over [`LogFile`], which tests replace
//!   by a file that loses what was not synced.
//! * [`repair`] mends a torn tail, [`survey`] says whether a log is whole.

mod appender;
mod chunks;
mod decode;
mod files;
mod folder;
mod follow;
mod given_lines;
mod glued;
mod group_commit;
mod line_reader;
mod local_log;
mod log_file;
mod owner;
mod read;
mod reader;
mod repair;
mod report;
mod segments;
mod sqlite;
mod survey;

pub use appender::{AppendError, LogAppender};
pub(crate) use files::folder_of;
pub use files::{FileId, LogFiles};
pub use folder::FolderReader;
pub use given_lines::GivenLines;
pub use group_commit::{GROUP_BYTES, GROUP_EVENTS, GroupCommit, Queued};
pub use line_reader::DEFAULT_MAX_LINE;
pub use local_log::LocalLog;
pub use log_file::{DiskFile, LogFile};
pub use owner::{OwnError, own, refuse_node_folder};
pub use read::{LineForm, OnBadLine, ReadError, ReadLog, ReadOptions, ReadPage};
pub use reader::LogReader;
pub use repair::{Repair, RepairError, repair};
pub use report::{At, BadLine, Finding, LineFault, Place, TailKind};
pub use segments::{Held, Retention, Segments};
pub(crate) use segments::{SegmentError, begin_another, has_segments, live_segment};
pub use sqlite::DatabaseReader;
pub use survey::{Survey, survey};

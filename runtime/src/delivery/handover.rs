//! How a new version of a sink starts in place of the one that runs, on either lane.

use crate::error_chain::chain;
use crate::sink::{EventSink, OpenInfo, Opened};
use crate::sink_store::Saved;

/// Where a new version goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TakesOver {
    /// Where the version before stands, whose state it has.
    WithState,
    /// Where it asked to.
    At(Opened),
}

/// Opens a new version and gives it the state that the running one saved, if it takes any; or says why it cannot take over.
pub(super) async fn take_over(
    new: &mut dyn EventSink,
    info: &OpenInfo,
    saved: Option<&Saved>,
) -> Result<TakesOver, String> {
    let opened = new.open(info).await.map_err(|error| chain(&error))?;
    match (saved, new.handover()) {
        (Some(saved), Some(handover)) => {
            handover.restore(saved).await.map_err(|error| chain(&error))?;
            Ok(TakesOver::WithState)
        }
        (Some(_), None) if opened == Opened::Cursor => Err(
            "the running version hands its state over, and the new one neither takes it nor asks for the events again"
                .to_owned(),
        ),
        _ => Ok(TakesOver::At(opened)),
    }
}

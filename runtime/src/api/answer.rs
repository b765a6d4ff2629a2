//! What clients are told of commands that come to nothing.

use crate::head::HeadState;
use crate::json_text::{object, text};

/// A command could not be carried out in this state.
pub(super) fn command_failed(command: &str, state: Option<&HeadState>, reason: &str) -> String {
    let state = state.map_or("null".to_owned(), HeadState::to_json);
    object([("clientInput", command), ("reason", &text(reason)), ("state", &state), ("tag", "\"CommandFailed\"")])
}

/// What was sent is no command.
pub(super) fn invalid_input(input: &str, reason: &str) -> String {
    object([("input", text(input).as_str()), ("reason", &text(reason)), ("tag", "\"InvalidInput\"")])
}

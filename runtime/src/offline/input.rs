//! What reaches the head logic, and what it wants done.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::change::{Change, InitialHead};
use crate::event::Time;
use crate::head::{Json, Tx};

/// What the head logic is asked.
#[derive(Clone, Debug)]
pub enum Input {
    /// The head is to open, as offline mode has it at its first start.
    Open(Box<InitialHead>),
    /// The node has started: whatever a crash left undone is to be done.
    Resume,
    /// Time has passed. `is_told`: whether an event is to say so.
    Tick {
        /// Whether it is to be written to the log.
        is_told: bool,
    },
    /// A client's command.
    Command(Command),
    /// A message of the head's parties to each other. There is one: it hears itself.
    Message(Message),
    /// A transaction of the chain was seen. There is none: what was posted is seen.
    Observed(ChainTx),
}

impl Input {
    /// Bytes that it brings along.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Command(Command::NewTx(tx)) | Self::Message(Message::ReqTx { tx, .. }) => tx.text().len(),
            _ => 0,
        }
    }
}

/// What a client of hydra-node's API may ask for.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take a transaction.
    NewTx(Json<Tx>),
    /// Close the head.
    Close,
    /// Give the outputs of the closed head to the chain.
    Fanout,
    /// What offline mode does not do; the command's tag.
    Refused(String),
}

/// What the parties of a head tell each other.
#[derive(Clone, Debug)]
pub enum Message {
    /// Take this transaction.
    ReqTx {
        /// It.
        tx: Json<Tx>,
        /// How often it may still be tried again, if what it spends is not there yet.
        tries: u32,
    },
    /// Sign the next snapshot.
    ReqSn {
        /// Its number.
        number: i128,
    },
    /// A party signed a snapshot.
    AckSn {
        /// Its number.
        number: i128,
        /// The signature in hexadecimal digits.
        signature: String,
    },
}

/// A transaction on the chain, if there were one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainTx {
    /// It closes the head.
    Close,
    /// It gives out what was in the head.
    Fanout,
}

/// When an input is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The time.
    pub time: Time,
    /// The slot of the ledger.
    pub slot: u64,
}

/// What comes of an input.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// These changes, and then these effects.
    Continue {
        /// To be made durable, in this order.
        changes: Vec<Change>,
        /// To be carried out after that.
        effects: Vec<Effect>,
    },
    /// These changes; and the input is to be tried again after a while.
    Wait {
        /// For what, in words.
        reason: String,
        /// To be made durable, in this order.
        changes: Vec<Change>,
        /// The input with one try less.
        again: Box<Input>,
    },
    /// Nothing: the input means nothing in this state.
    Error(String),
}

/// Where a client hears of a command that cannot be carried out.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The client.
    pub to: mpsc::Sender<Refused>,
    /// The command as it was sent.
    pub command: Arc<str>,
}

/// Whose input it was, for as long as anything that came of it is under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) answers: Option<Answers>,
    /// What it takes of [`INPUT_BYTES`](super::INPUT_BYTES); clones share it.
    pub(super) _room: Option<Arc<OwnedSemaphorePermit>>,
}

/// A command that cannot be carried out.
#[derive(Clone, Debug)]
pub struct Refused {
    /// As it was sent.
    pub command: Arc<str>,
    /// Why, in words.
    pub reason: String,
}

/// What is to be done after the changes are durable.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Tell all parties.
    Send(Message),
    /// Put it on the chain.
    Post(ChainTx),
    /// Tell the client whose command it was that it cannot be done now.
    CommandFailed {
        /// Why, in words.
        reason: String,
    },
}

impl Effect {
    /// What the head hears of it: the one party hears itself, and what is posted to the chain that there is not is seen at once.
    pub(super) fn heard(&self) -> Option<Input> {
        match self {
            Self::Send(message) => Some(Input::Message(message.clone())),
            Self::Post(tx) => Some(Input::Observed(*tx)),
            Self::CommandFailed { .. } => None,
        }
    }
}

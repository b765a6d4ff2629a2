//! The state that events fold to, in hydra-node's JSON.

use super::leaf::{Integer, Map, Number, Raw, Str, UtcTime};
use super::typed::{Field, Json, JsonWriter, TypeError, Typed, first_of, record, tag_of};
use super::types::{ChainState, Closed, ConfirmedSnapshot, HeadParameters, Idle, Initial, Open};
use crate::event::Text;

/// hydra-node's HeadState: what `GET /head` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeadState {
    /// No head.
    Idle(Box<Idle>),
    /// Parties commit; until 1.x.
    Initial(Box<Initial>),
    /// Transactions are taken.
    Open(Box<Open>),
    /// The head is settled on the chain.
    Closed(Box<Closed>),
    /// Its outputs leave for the chain in steps (after 2.3).
    FanoutProgress(Box<Closed>),
}

impl Default for HeadState {
    fn default() -> Self {
        let chain_state = Text::from(bytestring::ByteString::from_static(r#"{"recordedAt":null,"spendableUTxO":{}}"#));
        let chain_state = Field::Is(Json::<ChainState>::from(chain_state));
        Self::Idle(Box::new(Idle { chain_state, ..Idle::default() }))
    }
}

impl HeadState {
    /// hydra-node's name of the state.
    pub fn tag(&self) -> &'static str {
        match self {
            Self::Idle(_) => "Idle",
            Self::Initial(_) => "Initial",
            Self::Open(_) => "Open",
            Self::Closed(_) => "Closed",
            Self::FanoutProgress(_) => "FanoutProgress",
        }
    }

    /// The head's id in hexadecimal digits; none while there is no head.
    pub fn head_id(&self) -> Option<&str> {
        let id = match self {
            Self::Idle(_) => return None,
            Self::Initial(initial) => &initial.head_id,
            Self::Open(open) => &open.head_id,
            Self::Closed(closed) | Self::FanoutProgress(closed) => &closed.head_id,
        };
        id.get().map(super::leaf::Hex::digits)
    }

    /// What the participants agreed on when the head was opened; none while there is no head.
    pub fn parameters(&self) -> Option<&Field<Json<HeadParameters>>> {
        match self {
            Self::Idle(_) => None,
            Self::Initial(initial) => Some(&initial.parameters),
            Self::Open(open) => Some(&open.parameters),
            Self::Closed(closed) | Self::FanoutProgress(closed) => Some(&closed.parameters),
        }
    }

    /// The snapshot that all agreed on last; none without an open or closed head.
    pub fn confirmed_snapshot(&self) -> Option<&ConfirmedSnapshot> {
        match self {
            Self::Idle(_) | Self::Initial(_) => None,
            Self::Open(open) => open.coordinated.get()?.confirmed_snapshot.get(),
            Self::Closed(closed) | Self::FanoutProgress(closed) => closed.confirmed_snapshot.get(),
        }
    }

    /// The JSON that hydra-node's `GET /head` gives.
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    pub(super) fn set_chain_state(&mut self, chain_state: &Json<ChainState>) {
        let field = match self {
            Self::Idle(idle) => &mut idle.chain_state,
            Self::Initial(initial) => &mut initial.chain_state,
            Self::Open(open) => &mut open.chain_state,
            Self::Closed(closed) | Self::FanoutProgress(closed) => &mut closed.chain_state,
        };
        *field = Field::Is(chain_state.apart());
    }

    fn write_contents(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        match self {
            Self::Idle(idle) => idle.write(out),
            Self::Initial(initial) => initial.write(out),
            Self::Open(open) => open.write(out),
            Self::Closed(closed) | Self::FanoutProgress(closed) => closed.write(out),
        }
    }
}

impl Typed for HeadState {
    fn read(text: &Text) -> Result<Self, TypeError> {
        let contents = first_of(text, &["contents"])?;
        let contents = &contents.ok_or_else(|| TypeError::new("a HeadState with tag and contents", text))?;
        let state = match &*tag_of(text)? {
            "Idle" => Typed::read(contents).map(|idle| Self::Idle(Box::new(idle))),
            "Initial" => Typed::read(contents).map(|initial| Self::Initial(Box::new(initial))),
            "Open" => Typed::read(contents).map(|open| Self::Open(Box::new(open))),
            "Closed" => Typed::read(contents).map(|closed| Self::Closed(Box::new(closed))),
            "FanoutProgress" => Typed::read(contents).map(|closed| Self::FanoutProgress(Box::new(closed))),
            _ => Err(TypeError::new("Idle, Initial, Open, Closed or FanoutProgress", text)),
        };
        state.map_err(|error| error.within("contents"))
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        out.bracket('{');
        out.key("contents");
        self.write_contents(out).map_err(|error| error.within("contents"))?;
        out.member("tag", &Str::from(self.tag()))?;
        out.bracket('}');
        Ok(())
    }
}

record! {
    /// Where the node is on the chain (2.x).
    ChainPointTime {
        current_chain_time = "currentChainTime": UtcTime,
        current_slot = "currentSlot": Integer,
        drift = "drift": Number,
    }
}
record! {
    /// hydra-node's NodeState of all versions: the head's state and what lies beside it.
    NodeMembers {
        chain_point_time = "chainPointTime": ChainPointTime,
        current_slot = "currentSlot": Integer,
        deposits = "deposits": Map<Json<Raw>>,
        head_state = "headState": HeadState,
        pending_deposits = "pendingDeposits": Map<Json<Raw>>,
        tag = "tag": Str,
    }
}

/// What a checkpoint holds: until 0.22 a HeadState, since 1.0 a NodeState.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// The state of the head alone; deposits and slot are in it (0.22).
    Head(HeadState),
    /// The state of the node (since 1.0).
    Node(Box<NodeMembers>),
}

impl Default for NodeState {
    fn default() -> Self {
        Self::Node(Box::new(NodeMembers {
            head_state: Field::Is(HeadState::default()),
            pending_deposits: Field::Is(Map::new()),
            ..NodeMembers::default()
        }))
    }
}

impl NodeState {
    /// The state of the head.
    pub fn head(&self) -> &HeadState {
        static IDLE: std::sync::LazyLock<HeadState> = std::sync::LazyLock::new(HeadState::default);
        match self {
            Self::Head(head) => head,
            Self::Node(node) => node.head_state.get().unwrap_or(&IDLE),
        }
    }

    /// hydra-node's JSON of it.
    pub fn to_json(&self) -> String {
        to_json(self)
    }
}

impl Typed for NodeState {
    fn read(text: &Text) -> Result<Self, TypeError> {
        if first_of(text, &["headState"])?.is_some() {
            return NodeMembers::read(text).map(|node| Self::Node(Box::new(node)));
        }
        HeadState::read(text).map(Self::Head)
    }

    fn write(&self, out: &mut JsonWriter) -> Result<(), TypeError> {
        match self {
            Self::Head(head) => head.write(out),
            Self::Node(node) => node.write(out),
        }
    }
}

pub(crate) fn to_json(value: &impl Typed) -> String {
    let mut out = JsonWriter::default();
    // Texts are written as they stand, which cannot fail; only reading them could.
    let _ = value.write(&mut out);
    out.finish()
}

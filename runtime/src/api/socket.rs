//! One client on a WebSocket: history if it wants it, greetings, then what happens; and its commands.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, timeout};

use super::greetings::greetings;
use super::history::History;
use super::hub::{Subscription, Told};
use super::output::Output;
use super::places::Place;
use super::{Shared, answer, command};
use crate::event::Position;
use crate::offline::{Answers, Input, Refused};
use crate::source::SourceError;

/// Bytes of a message from a client: transactions have kilobytes, and a head takes no other large commands.
pub const MAX_MESSAGE: usize = 1 << 20;

/// Answers to commands that may wait for a client; those beyond are not given.
const ANSWERS: usize = 64;

/// How often a client is asked for a sign of life.
const PING: Duration = Duration::from_secs(30);

/// After this time without one a client counts as gone.
const DEAD: Duration = Duration::from_secs(90);

/// After this time in which a client took nothing it is let go.
const STALLED: Duration = Duration::from_secs(20);

/// How long a client is given to hear why it is let go.
const FAREWELL: Duration = Duration::from_secs(1);

/// hydra-node's parameters of a connection.
#[derive(Clone, Debug, Default, Deserialize)]
struct Wishes {
    history: Option<String>,
    #[serde(rename = "snapshot-utxo")]
    snapshot_utxo: Option<String>,
    address: Option<String>,
}

impl Wishes {
    fn wants_history(&self) -> bool {
        self.history.as_deref() == Some("yes")
    }

    fn wants_utxo(&self) -> bool {
        self.snapshot_utxo.as_deref() != Some("no")
    }

    fn wants(&self, output: &Output) -> bool {
        self.address.as_deref().is_none_or(|address| output.concerns(address))
    }
}

pub(super) fn route() -> Router<Arc<Shared>> {
    Router::new().route("/", get(connect))
}

async fn connect(
    upgrade: WebSocketUpgrade,
    Query(wishes): Query<Wishes>,
    State(shared): State<Arc<Shared>>,
) -> Response {
    let place = shared.clients.take();
    if place.is_none() {
        let problem = format!("there are {} clients already", shared.clients.most);
        return (StatusCode::SERVICE_UNAVAILABLE, problem).into_response();
    }
    upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE).on_upgrade(|socket| async move {
        let (answers, answered) = mpsc::channel(ANSWERS);
        let mut client = Client { socket, wishes, shared, answers, answered, heard: Instant::now(), _place: place };
        if let Err(farewell) = client.serve().await {
            client.say(farewell).await;
        }
    })
}

/// Why a connection ends.
enum Farewell {
    /// The client is gone, or said so.
    Gone,
    /// It is told a code and a reason.
    Because(u16, Cow<'static, str>),
}

impl From<axum::Error> for Farewell {
    fn from(_gone: axum::Error) -> Self {
        Self::Gone
    }
}

impl From<SourceError> for Farewell {
    fn from(error: SourceError) -> Self {
        tracing::warn!("a client of the API cannot be given the history: {error}");
        Self::Because(close_code::ERROR, "the history cannot be read".into())
    }
}

struct Client {
    socket: WebSocket,
    wishes: Wishes,
    shared: Arc<Shared>,
    answers: mpsc::Sender<Refused>,
    answered: mpsc::Receiver<Refused>,
    heard: Instant,
    _place: Place,
}

impl Client {
    async fn serve(&mut self) -> Result<(), Farewell> {
        // Greetings say that history is over.
        self.shared.upstream.follower.caught_up().await;
        let mut history = None;
        if self.wishes.wants_history() {
            let turn = self.shared.histories.wait().await;
            history = Some(History::open(&self.shared.upstream.reopen, turn).await?);
            // The long part first, while nothing gathers for this client.
            self.tell_history(&mut history, self.shared.hub.last()).await?;
        }
        let mut subscription = self.shared.hub.subscribe();
        let too_slow = subscription.too_slow.clone();
        let slow = || Farewell::Because(close_code::POLICY, "too slow: outputs gathered beyond the bound".into());
        tokio::select! {
            served = self.live(&mut history, &mut subscription) => served,
            () = too_slow.cancelled() => Err(slow()),
        }
    }

    async fn live(&mut self, history: &mut Option<History>, subscription: &mut Subscription) -> Result<(), Farewell> {
        self.tell_history(history, subscription.after).await?;
        *history = None;
        self.greet().await?;
        let mut ping = interval(PING);
        loop {
            tokio::select! {
                told = subscription.next() => match told {
                    Some(told) => self.tell(&told).await?,
                    // Let go, for which the reason comes by another way.
                    None => std::future::pending().await,
                },
                message = self.socket.recv() => self.take(message.ok_or(Farewell::Gone)??).await?,
                Some(refused) = self.answered.recv() => self.refuse(&refused).await?,
                _ = ping.tick() => {
                    if self.heard.elapsed() >= DEAD {
                        return Err(Farewell::Because(close_code::AWAY, "nothing was heard for a while".into()));
                    }
                    self.socket.send(Message::Ping(Vec::new().into())).await?;
                }
            }
        }
    }

    async fn greet(&mut self) -> Result<(), Farewell> {
        let _place = self.shared.answers.wait().await;
        let fold = self.shared.upstream.follower.folded().await;
        let commands = self.shared.upstream.commands.as_ref();
        let greetings = greetings(fold.as_ref(), commands, &self.shared.network(), self.wishes.wants_utxo());
        self.send(greetings).await
    }

    async fn tell_history(&mut self, history: &mut Option<History>, until: Option<Position>) -> Result<(), Farewell> {
        let (Some(history), Some(until)) = (history, until) else { return Ok(()) };
        while let Some(output) = history.next(until).await? {
            if self.wishes.wants(&output) {
                self.send(output.json(self.wishes.wants_utxo())).await?;
            }
        }
        Ok(())
    }

    async fn tell(&mut self, told: &Told) -> Result<(), Farewell> {
        if !self.wishes.wants(&told.output) {
            return Ok(());
        }
        let is_whole = self.wishes.wants_utxo();
        self.send(if is_whole { told.json.clone() } else { told.output.json(false) }).await
    }

    async fn send(&mut self, text: String) -> Result<(), Farewell> {
        let sent = timeout(STALLED, self.socket.send(Message::Text(text.into()))).await;
        Ok(sent.map_err(|_| Farewell::Because(close_code::POLICY, "too slow: nothing was taken for a while".into()))??)
    }

    async fn take(&mut self, message: Message) -> Result<(), Farewell> {
        self.heard = Instant::now();
        match message {
            Message::Text(text) => self.obey(&text).await,
            // hydra-node takes both.
            Message::Binary(bytes) => self.obey(&String::from_utf8_lossy(&bytes)).await,
            Message::Close(_) => Err(Farewell::Gone),
            Message::Ping(_) | Message::Pong(_) => Ok(()),
        }
    }

    /// Passes a command on. While the head's inputs are full, this client waits, and with it whatever it sends next.
    async fn obey(&mut self, text: &str) -> Result<(), Farewell> {
        let Some(commands) = &self.shared.upstream.commands else {
            return self.send(answer::invalid_input(text, "this API is for reading only")).await;
        };
        let command = match command::read(text, &*commands.ledger) {
            Ok(command) => command,
            Err(reason) => return self.send(answer::invalid_input(text, &reason)).await,
        };
        let answers = Answers { to: self.answers.clone(), command: text.into() };
        let put = commands.inputs.put(Input::Command(command), Some(answers)).await;
        put.map_err(|gone| Farewell::Because(close_code::AWAY, gone.to_string().into()))
    }

    async fn refuse(&mut self, refused: &Refused) -> Result<(), Farewell> {
        let _place = self.shared.answers.wait().await;
        let state = self.shared.upstream.follower.state().await;
        self.send(answer::command_failed(&refused.command, state.as_ref(), &refused.reason)).await
    }

    async fn say(&mut self, farewell: Farewell) {
        let Farewell::Because(code, reason) = farewell else { return };
        tracing::warn!("a client of the API is let go: {reason}");
        let frame = CloseFrame { code, reason: reason.into_owned().into() };
        // It may not read this either.
        let _ = timeout(FAREWELL, self.socket.send(Message::Close(Some(frame)))).await;
    }
}

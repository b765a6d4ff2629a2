//! `ws:` as a source: hydra-node's API, history and then live.

mod output;

use std::error::Error;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::resume::Resume;
use super::{EventSource, Next, Page, SourceError};
use crate::backoff::Backoff;
use crate::event::StateEvent;
use crate::stream::StreamFormat;

use output::Output;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Cause = Box<dyn Error + Send + Sync>;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// How long a node may take to be reachable at start.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);

/// How long one call waits for a message, so that whoever asks can see to other things.
const WAIT: Duration = Duration::from_millis(50);

/// After this time without a message the node is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(30);

/// After this time without one the connection counts as lost.
const DEAD: Duration = Duration::from_secs(90);

/// Bytes of messages in one page, as for files.
const PAGE_BYTES: usize = 512 * 1024;

/// Reads the outputs of a node's API, and connects again when the connection is lost.
///
/// At each connection the node sends its history again. What was read already is passed over by `seq`, and the last of it looked for: so nothing
/// is left out and nothing is given twice, and a history that is not the one from before is noticed. Outputs without `seq` belong to no stream and
/// are left out.
#[derive(Debug)]
pub struct WsSource {
    url: String,
    max_message: usize,
    /// Whether the node's greetings are counted; none before the first.
    counts_greetings: Option<bool>,
    connection: Option<Connection>,
    resume: Resume,
    /// Whether the first connection's history is still being read.
    history: bool,
    backoff: Backoff,
}

#[derive(Debug)]
struct Connection {
    socket: Socket,
    heard: Instant,
    asked: bool,
    /// Whether the node has not come to the end of its history on this connection.
    in_history: bool,
}

impl WsSource {
    /// The API of the node at `address`, which is `host:port`. Messages of more than `max_message` bytes end the connection.
    pub fn new(address: &str, max_message: usize) -> Self {
        Self {
            url: format!("ws://{address}/"),
            max_message,
            counts_greetings: None,
            connection: None,
            resume: Resume::default(),
            history: true,
            backoff: Backoff::default(),
        }
    }

    /// Asks the node for its greetings, to know whose count `seq` is: hydra-node 0.21 and later use the event's id, earlier ones a counter of
    /// the API, which is another stream.
    ///
    /// # Errors
    ///
    /// [`SourceError::Unreachable`] if it does not answer within a minute.
    pub async fn counts_for_itself(&mut self) -> Result<bool, SourceError> {
        let start = Instant::now();
        loop {
            let greeted = timeout(CONNECT, self.greet()).await.unwrap_or_else(|elapsed| Err(elapsed.into()));
            match greeted {
                Ok(is_counted) => {
                    self.counts_greetings = Some(is_counted);
                    return Ok(is_counted);
                }
                Err(error) => self.try_again(start, error).await?,
            }
        }
    }

    async fn greet(&self) -> Result<bool, Cause> {
        let mut socket = self.connect("history=no").await?;
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message?
                && let Output::Greetings { is_counted } = Output::read(&text)?
            {
                // The node need not be told: it sees the connection end.
                return Ok(is_counted);
            }
        }
        Err("the connection ended before the node's greetings".into())
    }

    async fn try_again(&mut self, start: Instant, source: Cause) -> Result<(), SourceError> {
        let wait = self.backoff.wait();
        if start.elapsed() + wait > OPEN_PATIENCE {
            return Err(SourceError::Unreachable { url: self.url.clone(), source });
        }
        tracing::warn!("cannot reach {}: {source}; trying again", self.url);
        sleep(wait).await;
        Ok(())
    }

    async fn connect(&self, query: &str) -> Result<Socket, Cause> {
        let config =
            WebSocketConfig::default().max_message_size(Some(self.max_message)).max_frame_size(Some(self.max_message));
        let connecting = connect_async_with_config(format!("{}?{query}", self.url), Some(config), true);
        let (socket, _response) = timeout(CONNECT, connecting).await??;
        Ok(socket)
    }

    async fn reconnect(&mut self) -> Result<(), Cause> {
        let socket = self.connect("history=yes").await?;
        self.connection = Some(Connection { socket, heard: Instant::now(), asked: false, in_history: true });
        self.resume.begin();
        Ok(())
    }

    /// Reads what there is, waiting a moment for the first message.
    async fn read(&mut self) -> Result<Vec<StateEvent>, SourceError> {
        let mut events = Vec::new();
        let mut bytes = 0;
        while let Some(connection) = &mut self.connection {
            if bytes >= PAGE_BYTES {
                break;
            }
            let message = match (events.is_empty(), connection.socket.next().now_or_never()) {
                (_, Some(message)) => message,
                (false, None) => break,
                (true, None) => match timeout(WAIT, connection.socket.next()).await {
                    Ok(message) => message,
                    Err(_elapsed) => {
                        self.see_to_silence().await;
                        break;
                    }
                },
            };
            if let Some(Err(tungstenite::Error::Capacity(error))) = &message {
                let problem = format!("{error} (parameter max-line)");
                return Err(SourceError::Output { url: self.url.clone(), problem });
            }
            let Some(Ok(message)) = message else {
                let why =
                    message.and_then(Result::err).map_or_else(|| "it ended".to_owned(), |error| error.to_string());
                self.lose(&why);
                break;
            };
            (connection.heard, connection.asked) = (Instant::now(), false);
            if let Message::Text(text) = message {
                bytes += text.len();
                self.take(&text, &mut events)?;
                if !self.connection_is_in_history() && self.history {
                    break;
                }
            }
        }
        Ok(events)
    }

    fn take(&mut self, text: &str, events: &mut Vec<StateEvent>) -> Result<(), SourceError> {
        let output = Output::read(text).map_err(|problem| SourceError::Output { url: self.url.clone(), problem })?;
        let in_history = self.connection_is_in_history();
        match output {
            Output::Passing => {}
            Output::Greetings { is_counted } => {
                if self.counts_greetings.is_some_and(|before| before != is_counted) {
                    let problem =
                        "it counts its outputs in another way than before, which is another stream; start again";
                    return Err(SourceError::Output { url: self.url.clone(), problem: problem.to_owned() });
                }
                if let Some(connection) = self.connection.as_mut().filter(|connection| connection.in_history) {
                    connection.in_history = false;
                    self.resume.end(&self.url)?;
                }
                self.backoff.reset();
            }
            Output::Event(event) => events.extend(self.resume.take(event, in_history, &self.url)?),
        }
        Ok(())
    }

    /// Asks for a sign of life, or gives the connection up.
    async fn see_to_silence(&mut self) {
        let Some(connection) = &mut self.connection else { return };
        let silence = connection.heard.elapsed();
        if silence >= DEAD {
            self.lose("nothing was heard of the node for a while");
        } else if silence >= QUIET && !std::mem::replace(&mut connection.asked, true) {
            let ping = connection.socket.send(Message::Ping(Vec::new().into()));
            if timeout(CONNECT, ping).await.is_err() {
                self.lose("it takes nothing any more");
            }
        }
    }

    fn connection_is_in_history(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.in_history)
    }

    fn lose(&mut self, why: &str) {
        self.connection = None;
        tracing::warn!("the connection to {} is lost: {why}", self.url);
    }
}

#[async_trait]
impl EventSource for WsSource {
    fn describe(&self) -> String {
        format!("API of the node at {}", self.url)
    }

    fn format(&self) -> StreamFormat {
        StreamFormat::server_output()
    }

    async fn open(&mut self) -> Result<(), SourceError> {
        let start = Instant::now();
        while let Err(error) = self.reconnect().await {
            self.try_again(start, error).await?;
        }
        Ok(())
    }

    async fn get_events(&mut self) -> Result<Page, SourceError> {
        let mut next = Next::More;
        if self.connection.is_none()
            && let Err(error) = self.reconnect().await
        {
            tracing::warn!("cannot reach {}: {error}; trying again", self.url);
            next = Next::Wait(self.backoff.wait());
        }
        let history = self.history;
        let events = self.read().await?;
        if self.connection.as_ref().is_some_and(|connection| !connection.in_history) {
            self.history = false;
        }
        // Of an empty page, that it is history no more is all there is to say.
        let history = if events.is_empty() { self.history } else { history };
        if events.is_empty() && next == Next::More {
            next = Next::Wait(Duration::from_millis(1));
        }
        Ok(Page { events, findings: Vec::new(), history, next, progress: None })
    }

    async fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            // Out of politeness; the node may be gone.
            let _ = timeout(WAIT, connection.socket.close(None)).await;
        }
    }
}

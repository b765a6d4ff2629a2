//! A running `hydrant head`, and clients of its API.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::harness::Folder;
use crate::operate::Running;

/// A client of the API.
pub(crate) struct Client(pub(crate) WebSocket<TcpStream>);

impl Client {
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr, query: &str) -> Self {
        Self::try_connect(address, query).unwrap_or_else(|error| panic!("{address}: {error}"))
    }

    /// As [`connect`](Self::connect); why not, if the node turns the client away.
    pub(crate) fn try_connect(address: SocketAddr, query: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        let connected = client(format!("ws://{address}/?{query}"), stream).map_err(|error| error.to_string());
        connected.map(|(socket, _)| Self(socket))
    }

    pub(crate) fn send(&mut self, command: &Value) {
        self.0.send(Message::text(command.to_string())).unwrap();
    }

    /// The next output; none once the node is gone.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    #[track_caller]
    pub(crate) fn until(&mut self, tag: &str) -> Value {
        self.up_to(tag).pop().unwrap()
    }

    /// Outputs up to the first with this tag.
    #[track_caller]
    pub(crate) fn up_to(&mut self, tag: &str) -> Vec<Value> {
        let mut outputs = Vec::new();
        while let Some(output) = self.next() {
            let is_last = output["tag"] == tag;
            outputs.push(output);
            if is_last {
                return outputs;
            }
        }
        panic!("no {tag} among {outputs:?}");
    }
}

/// A head with these outputs, and where its API listens.
pub(crate) fn start_with(utxo: &str, folder: Folder, sinks: &[&str], more: &[&str]) -> (Running, SocketAddr) {
    let utxo = folder.file("utxo.json", utxo).display().to_string();
    let command = folder.head(sinks, &[&["--initial-utxo", &utxo], more].concat());
    start_by(command, folder)
}

/// As [`start_with`], by a command.
pub(crate) fn start_by(mut command: Command, folder: Folder) -> (Running, SocketAddr) {
    let stdout = OpenOptions::new().create(true).append(true).open(folder.path("stdout")).unwrap();
    command.stdout(stdout);
    let running = Running::of(folder, command);
    let address = api_of(&running);
    let is_new = || get(address, "/head")["tag"] == "Idle";
    let log = running.folder.path("state");
    running.until("the head", || !is_new() || fs::read_to_string(&log).is_ok_and(|log| log.contains("HeadFannedOut")));
    (running, address)
}

pub(crate) fn api_of(running: &Running) -> SocketAddr {
    let mut address = None;
    running.until("the API", || {
        address =
            running.said().iter().find_map(|line| line.split_once("API on http://")?.1.split_once(' ')?.0.parse().ok());
        address.is_some()
    });
    address.unwrap()
}

/// Status and body of a request.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: http://page.example\r\n");
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.to_lowercase().contains("access-control-allow-origin: *"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Value {
    let (status, body) = ask(address, "GET", path, "");
    assert_eq!(status, 200, "{path}: {body}");
    body
}

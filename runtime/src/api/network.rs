//! What the events say of the network between the parties' nodes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::output::Output;
use crate::head::{Host, Json};

/// Peers that clients are told of: a head has some tens at most, and a log may be anybody's.
pub const MAX_PEERS: usize = 1_000;

/// hydra-node's NetworkInfo (1.0 and later).
#[derive(Debug, Default)]
pub(super) struct NetworkInfo {
    is_connected: bool,
    /// Whether each peer is connected.
    peers: BTreeMap<String, bool>,
}

impl NetworkInfo {
    /// That of a head with one party, which hears all parties that there are.
    pub(super) fn of_one_party() -> Self {
        Self { is_connected: true, ..Self::default() }
    }

    /// Takes what is told of the network, if it is.
    pub(super) fn see(&mut self, output: &Output) {
        match output.tag {
            "NetworkConnected" => self.is_connected = true,
            // Peers are known by the network alone.
            "NetworkDisconnected" => *self = Self::default(),
            "PeerConnected" => self.see_peer(output, true),
            "PeerDisconnected" => self.see_peer(output, false),
            _ => {}
        }
    }

    fn see_peer(&mut self, output: &Output, is_connected: bool) {
        let Some(peer) = output.member("peer").and_then(|peer| Json::<Host>::from(peer.clone()).get().ok()) else {
            return;
        };
        let (Some(hostname), Some(port)) = (peer.hostname.get(), peer.port.get().and_then(|port| port.get())) else {
            return;
        };
        let name = format!("{}:{port}", hostname.content());
        if self.peers.len() < MAX_PEERS || self.peers.contains_key(&name) {
            self.peers.insert(name, is_connected);
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "networkConnected": self.is_connected, "peersInfo": self.peers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::output::Outputs;
    use crate::event::StateEvent;

    fn see(network: &mut NetworkInfo, changed: &Value) {
        let event = json!({ "eventId": 1, "stateChanged": changed, "time": "2026-01-01T00:00:00Z" });
        let output = Outputs::default().of(&StateEvent::parse(event.to_string()).unwrap()).unwrap();
        network.see(&output.unwrap());
    }

    fn peer(tag: &str, port: usize) -> Value {
        json!({ "tag": tag, "peer": { "hostname": "10.0.0.\"1", "port": port } })
    }

    #[test]
    fn peers_come_and_go_and_are_unknown_without_the_network() {
        let mut network = NetworkInfo::default();
        assert_eq!(network.to_json(), json!({ "networkConnected": false, "peersInfo": {} }));
        see(&mut network, &json!({ "tag": "NetworkConnected" }));
        for (tag, port) in [("PeerConnected", 1), ("PeerConnected", 2), ("PeerDisconnected", 2)] {
            see(&mut network, &peer(tag, port));
        }
        let peers = json!({ "10.0.0.\"1:1": true, "10.0.0.\"1:2": false });
        assert_eq!(network.to_json(), json!({ "networkConnected": true, "peersInfo": peers }));
        see(&mut network, &json!({ "tag": "NetworkDisconnected" }));
        assert_eq!(network.to_json(), NetworkInfo::default().to_json());
    }

    #[test]
    fn peers_have_a_bound() {
        let mut network = NetworkInfo::default();
        for port in 0..MAX_PEERS {
            see(&mut network, &peer("PeerConnected", port));
        }
        assert_eq!(network.peers.len(), MAX_PEERS);
        see(&mut network, &peer("PeerConnected", MAX_PEERS));
        see(&mut network, &peer("PeerDisconnected", 0));
        assert_eq!((network.peers.len(), network.peers["10.0.0.\"1:0"]), (MAX_PEERS, false));
    }
}

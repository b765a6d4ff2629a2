//! The addresses on which this process listens: no component's request may reach them, whatever it was granted.

use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

/// One list for the process, as its listeners are the process's: a listener cannot be forgotten on the way to a sink.
static LISTENERS: RwLock<Vec<SocketAddr>> = RwLock::new(Vec::new());

/// Keeps an address in the list until it is dropped.
#[derive(Debug)]
pub(crate) struct OwnListener(SocketAddr);

impl OwnListener {
    pub(crate) fn at(address: SocketAddr) -> Self {
        LISTENERS.write().unwrap_or_else(PoisonError::into_inner).push(address);
        Self(address)
    }
}

impl Drop for OwnListener {
    fn drop(&mut self) {
        let mut listeners = LISTENERS.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = listeners.iter().position(|listener| *listener == self.0) {
            listeners.swap_remove(at);
        }
    }
}

/// Whether a connection would end at a listener of this process. `from`: our end of it, once it is there; an address of this machine is reached
/// from itself.
pub(crate) fn is_own(to: SocketAddr, from: Option<SocketAddr>) -> bool {
    let (ip, from) = (to.ip().to_canonical(), from.map(|from| from.ip().to_canonical()));
    let is_here = ip.is_loopback() || ip.is_unspecified() || from.is_some_and(|from| from == ip || from.is_loopback());
    let listeners = LISTENERS.read().unwrap_or_else(PoisonError::into_inner);
    listeners.iter().any(|listener| {
        let bound: IpAddr = listener.ip().to_canonical();
        listener.port() == to.port() && (bound == ip || is_here)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_by_every_address_of_this_machine_while_it_is_there() {
        // No port of any other test: they run in one process.
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let listener = OwnListener::at(at("0.0.0.0:1"));
        for own in ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "0.0.0.0:1"] {
            assert!(is_own(at(own), None), "{own}");
        }
        assert!(is_own(at("10.0.0.7:1"), Some(at("10.0.0.7:40000"))));
        assert!(!is_own(at("10.0.0.7:1"), Some(at("10.0.0.8:40000"))));
        assert!(!is_own(at("127.0.0.1:2"), None));
        drop(listener);
        assert!(!is_own(at("127.0.0.1:1"), None));
        let _listener = OwnListener::at(at("192.0.2.1:1"));
        assert!(is_own(at("192.0.2.1:1"), None));
    }
}

//! Requests that go where they must not, and servers that work hand in hand with a component.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use hydrant::component::{Grants, HttpGrants};

use super::attacks::{Attack, Must, rust};

/// A server for one connection after the other, on one thread, so that it holds nothing once a client has gone.
fn server(answer: impl Fn(&mut TcpStream, &str) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let own = url.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that goes away is what is expected of it.
            let _ = stream.and_then(|mut stream| answer(&mut stream, &own));
        }
    });
    url
}

fn until_gone(stream: &mut TcpStream) -> io::Result<()> {
    io::copy(stream, &mut io::sink()).map(drop)
}

fn asks(tries: &str, urls: &str, granted: &str, config: &[(&str, &str)], must: Must) -> Attack {
    let config: Vec<(&str, &str)> =
        [("urls", urls), ("fail", "yes")].into_iter().chain(config.iter().copied()).collect();
    let http = HttpGrants { rules: vec![granted.parse().unwrap()], addresses: Vec::new() };
    Attack { grants: Grants { http, ..Grants::default() }, ..rust(tries, "requester", &config, must) }
}

pub(super) fn all() -> Vec<Attack> {
    let silent = server(|stream, _| until_gone(stream));
    let dripping = server(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nx")?;
        until_gone(stream)
    });
    let endless = server(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 65_536])?;
        }
    });
    let headers = server(|stream, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            write!(stream, "x: {}\r\n", "y".repeat(1000))?;
        }
    });
    let circle = server(|stream, own| {
        let _ = stream.read(&mut [0; 4096])?;
        write!(stream, "HTTP/1.1 302 Found\r\nlocation: {own}/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let away = server(|stream, _| {
        let _ = stream.read(&mut [0; 4096])?;
        let to = "http://169.254.169.254/latest/meta-data/";
        write!(stream, "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    });
    let many = vec![&*silent; 100].join(" ");
    vec![
        asks("a server that never answers", &silent, &silent, &[], Must::Fail),
        asks("an answer that drips", &dripping, &dripping, &[], Must::Fail),
        asks("an answer without end", &endless, &endless, &[], Must::Fail),
        asks("headers without end", &headers, &headers, &[], Must::Fail),
        asks("redirects in a circle", &circle, &circle, &[], Must::Fail),
        asks("a redirect to a cloud's metadata", &away, &away, &[], Must::Fail),
        asks("a hundred requests at once", &many, &silent, &[("at-once", "yes")], Must::Fail),
        asks("a body that nobody reads", &silent, &silent, &[("method", "POST"), ("body", "100000000")], Must::Fail),
        asks("a name of this machine", "http://localhost:1/", "http://localhost:1", &[], Must::Fail),
        asks("a number for an address", "http://2130706433:1/", "http://2130706433:1", &[], Must::Fail),
        asks("an address that was not granted", "http://127.0.0.1:1/", "http://127.0.0.2:1", &[], Must::Fail),
        asks("a tunnel", &silent, &silent, &[("method", "CONNECT")], Must::Fail),
    ]
}

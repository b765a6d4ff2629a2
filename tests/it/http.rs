//! Requests of a component: what was granted is made, and nothing leads anywhere else.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hydrant::component::{ComponentSink, Grants, HttpGrants, Resolve};
use hydrant::event::StateEvent;
use hydrant::sink::{Delivery, EventSink};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::harness::{Folder, assert_exit, block_on, guest, limits_of, load, open_info, stderr, tagged, wasm};

/// A server on loopback that answers in its own way; each request is counted by its first line.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answer: impl Fn(&str, &mut TcpStream) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (seen, answer) = (asked.clone(), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (seen.clone(), answer.clone());
                thread::spawn(move || {
                    let mut stream = stream?;
                    let request = request(&stream)?;
                    seen.lock().unwrap().push(request.clone());
                    answer(&request, &mut stream)
                });
            }
        });
        Self { address, asked }
    }

    /// One that answers with so many bytes.
    fn of(bytes: usize) -> Self {
        Self::new(move |_, stream| {
            write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{}", "x".repeat(bytes))
        })
    }

    fn url(&self, host: &str) -> String {
        format!("http://{host}:{}", self.address.port())
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The first line of a request; its headers and body are read off.
fn request(stream: &TcpStream) -> io::Result<String> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first)?;
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    if io::copy(&mut reader.take(length), &mut io::sink())? < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(first.trim().to_owned())
}

/// Answers with one address after the other, and the last one from then on.
#[derive(Debug)]
struct Answers(Vec<&'static str>, AtomicUsize);

impl Answers {
    fn new(addresses: &[&'static str]) -> Arc<Self> {
        Arc::new(Self(addresses.to_vec(), AtomicUsize::new(0)))
    }
}

#[async_trait]
impl Resolve for Answers {
    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let at = self.1.fetch_add(1, Ordering::SeqCst).min(self.0.len() - 1);
        let address: IpAddr = self.0[at].parse().unwrap();
        Ok(vec![SocketAddr::new(address, port)])
    }
}

fn grants(rules: &[&str], addresses: &[&str]) -> Grants {
    let http = HttpGrants {
        rules: rules.iter().map(|rule| rule.parse().unwrap()).collect(),
        addresses: addresses.iter().map(|range| range.parse().unwrap()).collect(),
    };
    Grants { http, ..Grants::default() }
}

fn sink(grants: Grants, limits: &[(&str, &str)], config: &[(&str, &str)]) -> ComponentSink {
    let limits = limits_of(limits);
    let component = load(&fs::read(guest("requester")).unwrap(), &limits).unwrap();
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    ComponentSink::new("requester", component, limits, config).with_grants(grants)
}

/// Puts one event; what the sink's log says.
fn put(mut sink: ComponentSink) -> Vec<String> {
    let event = StateEvent::parse(r#"{"eventId":0,"stateChanged":{"tag":"TickObserved"}}"#).unwrap();
    block_on(async {
        sink.open(&open_info()).await.unwrap();
        sink.put_event(&event, Delivery::default()).await.unwrap();
    });
    sink.log_tail()
}

fn ask(grants: Grants, resolver: Option<Arc<Answers>>, urls: &str) -> Vec<String> {
    let sink = sink(grants, &[], &[("urls", urls)]);
    put(match resolver {
        Some(resolver) => sink.with_resolver(resolver),
        None => sink,
    })
}

fn says(lines: &[String], words: &[&str]) {
    for word in words {
        assert!(lines.iter().any(|line| line.contains(word)), "{word:?} in {lines:?}");
    }
}

#[test]
fn a_granted_request_is_made_and_answered() {
    let server = Server::of(100_000);
    let url = server.url("127.0.0.1");
    let lines = ask(grants(&[&format!("GET {url}/path/*")], &[]), None, &format!("{url}/path/x?q=1"));
    says(&lines, &["= 200 100000 bytes"]);
    assert_eq!(server.asked(), ["GET /path/x?q=1 HTTP/1.1"]);
}

#[test]
fn what_was_not_granted_is_refused_and_never_connected() {
    let server = Server::of(1);
    let url = server.url("127.0.0.1");
    let asked = format!(
        "{url}/path/x {url}/path/../y {url}/path/%2e%2e/y {url}/y http://localhost:{}/path/x https://{}/path/x",
        server.address.port(),
        server.address
    );
    for (rules, config) in [
        (vec![format!("POST {url}/path/*")], "GET"),
        (vec![format!("{url}/other")], "GET"),
        (vec![format!("http://127.0.0.2:{}/*", server.address.port())], "GET"),
        (vec![format!("{url}/*")], "CONNECT"),
    ] {
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let lines = put(sink(grants(&rules, &["127.0.0.0/8"]), &[], &[("urls", &asked), ("method", config)]));
        let denied = lines.iter().filter(|line| line.contains("= failed ErrorCode::HttpRequestDenied")).count();
        assert_eq!(denied, 6, "{lines:?}");
        says(&lines, &["refused: not granted by grant.http", rules[0]]);
    }
    assert!(server.asked().is_empty());
}

#[test]
fn a_granted_name_leads_to_no_address_that_was_not_named() {
    let server = Server::of(1);
    let url = server.url("api.example");
    for (address, what) in [
        ("127.0.0.1", "loopback"),
        ("127.1.2.3", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("0.0.0.0", "this machine"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fd00::1", "private"),
        ("169.254.169.254", "metadata"),
        ("fe80::1", "link-local"),
        ("100.64.0.1", "carriers"),
        ("64:ff9b::7f00:1", "loopback"),
    ] {
        let lines = ask(grants(&[&url], &[]), Some(Answers::new(&[address])), &url);
        says(&lines, &["= failed ErrorCode::DestinationIpProhibited", what, "grant.http-addresses="]);
    }
    assert!(server.asked().is_empty());
    let lines = ask(grants(&[&url], &["127.0.0.1/32"]), Some(Answers::new(&["127.0.0.1"])), &url);
    says(&lines, &["= 200 1 bytes"]);
}

#[test]
fn a_name_that_changes_its_answer_is_checked_each_time_and_asked_once() {
    let server = Server::of(1);
    let url = server.url("api.example");
    let answers = Answers::new(&["127.0.0.1", "127.0.0.2"]);
    let lines = ask(grants(&[&url], &["127.0.0.1/32"]), Some(answers.clone()), &format!("{url}/a {url}/b"));
    says(&lines, &["/a = 200 1 bytes", "/b = failed ErrorCode::DestinationIpProhibited"]);
    assert_eq!((answers.1.load(Ordering::SeqCst), server.asked().len()), (2, 1));
}

#[test]
fn a_redirect_leads_no_further_than_a_request() {
    let target = Server::of(7);
    let ours = target.url("127.0.0.1");
    let to = [ours.clone(), target.url("localhost"), "http://169.254.169.254".to_owned()];
    let server = Server::new(move |request, stream| {
        let which = to.iter().enumerate().find(|(which, _)| request.contains(&format!("/{which} ")));
        let (_, to) = which.unwrap();
        write!(stream, "HTTP/1.1 302 Found\r\nlocation: {to}/found\r\ncontent-length: 0\r\n\r\n")
    });
    let url = server.url("127.0.0.1");
    let lines = ask(grants(&[&url, &ours], &["127.0.0.0/8"]), None, &format!("{url}/0 {url}/1 {url}/2"));
    says(
        &lines,
        &["/0 = 200 7 bytes", "/1 = failed ErrorCode::HttpRequestDenied", "/2 = failed ErrorCode::HttpRequestDenied"],
    );
    assert_eq!((server.asked().len(), target.asked().len()), (3, 1));
}

#[test]
fn an_answer_that_drips_is_given_up_and_one_in_time_is_not() {
    let server = Server::new(|_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")?;
        (0..100).try_for_each(|_| {
            thread::sleep(Duration::from_millis(20));
            stream.write_all(b"x")
        })
    });
    let url = server.url("127.0.0.1");
    let timed = |timeout: &str| {
        let asks = sink(grants(&[&url], &[]), &[("http-timeout", timeout)], &[("urls", &url)]);
        let begun = Instant::now();
        (put(asks), begun.elapsed())
    };
    let (lines, _) = timed("60s");
    says(&lines, &["= 200 100 bytes"]);
    let (lines, took) = timed("300ms");
    says(&lines, &["HTTP response timeout"]);
    assert!(took < Duration::from_millis(1900), "{took:?}");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::new(|_, stream| stream.read(&mut [0]).map(drop));
    let url = server.url("127.0.0.1");
    let lines = put(sink(grants(&[&url], &[]), &[("http-timeout", "300ms")], &[("urls", &url)]));
    says(&lines, &["= failed ErrorCode::HttpResponseTimeout", "not over within 300ms (http-timeout)"]);
}

#[test]
fn an_answer_may_have_http_response_bytes_and_no_more() {
    for (bytes, outcome) in [(65_536, "= 200 65536 bytes"), (65_537, "HTTP response body size exceeds limit: 65536")] {
        let server = Server::of(bytes);
        let url = server.url("127.0.0.1");
        let lines = put(sink(grants(&[&url], &[]), &[("http-response-bytes", "64KiB")], &[("urls", &url)]));
        says(&lines, &[outcome]);
    }
    let endless = Server::new(|_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 65_536])?;
        }
    });
    let url = endless.url("127.0.0.1");
    let lines = put(sink(grants(&[&url], &[]), &[], &[("urls", &url)]));
    says(&lines, &["HTTP response body size exceeds limit", "(http-response-bytes)"]);
}

#[test]
fn headers_without_end_are_given_up() {
    let server = Server::new(|_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
        loop {
            write!(stream, "x-{}: y\r\n", "x".repeat(1000))?;
        }
    });
    let url = server.url("127.0.0.1");
    says(&put(sink(grants(&[&url], &[]), &[], &[("urls", &url)])), &["= failed ErrorCode::HttpProtocolError"]);
}

#[test]
fn a_request_may_have_http_request_bytes_and_no_more() {
    let server = Server::of(1);
    let url = server.url("127.0.0.1");
    for (body, outcome) in [("65536", "= 200 1 bytes"), ("65537", "= failed")] {
        let config = [("urls", &*url), ("method", "POST"), ("body", body)];
        let lines = put(sink(grants(&[&url], &[]), &[("http-request-bytes", "64KiB")], &config));
        says(&lines, &[outcome]);
    }
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn so_many_requests_are_open_at_once_and_no_more() {
    let server = Server::of(1);
    let url = server.url("127.0.0.1");
    for (urls, refused) in [(2, 0), (4, 2)] {
        let urls = vec![&*url; urls].join(" ");
        let config = [("urls", &*urls), ("at-once", "yes")];
        let lines = put(sink(grants(&[&url], &[]), &[("http-requests", "2")], &config));
        let limited = lines.iter().filter(|line| line.contains("ErrorCode::ConnectionLimitReached")).count();
        assert_eq!(limited, refused, "{lines:?}");
    }
}

#[test]
fn hydrants_own_listener_is_not_reached_whatever_was_granted() {
    let folder = Folder::new();
    let state = folder.file("state", tagged(0, "TickObserved") + "\n");
    let token = folder.file("token", "0123456789abcdef0123456789abcdef");
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = format!("http://{address}/v1/status");
    let sink = wasm("requester", &format!("lane=inline&grant.http=http://{address}&config.urls={url}"));
    let (address, token) = (address.to_string(), token.display().to_string());
    let output = folder.run(&state, &[&sink], &["--once", "--listen", &address, "--token-file", &token]);
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("DestinationIpProhibited"), "{}", stderr(&output));
    assert!(stderr(&output).contains("is hydrant's own"), "{}", stderr(&output));
}

/// A server with TLS on loopback, for `localhost`; the certificate that one must trust to trust it.
fn tls_server() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(session, stream.unwrap());
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes");
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (address, made.cert.pem())
}

#[test]
fn tls_is_the_hosts_and_trusts_what_the_system_trusts() {
    let (address, certificate) = tls_server();
    let folder = Folder::new();
    let state = folder.file("state", tagged(0, "TickObserved") + "\n");
    let trusted = folder.file("trusted.pem", &certificate);
    let other = folder.file("other.pem", &tls_server().1);
    let url = format!("https://localhost:{}", address.port());
    let parameters = format!("lane=inline&grant.http={url}&grant.http-addresses=127.0.0.1,::1&config.urls={url}");
    let sink = wasm("requester", &parameters);
    for (roots, outcome) in [(trusted, "= 200 3 bytes"), (other, "= failed ErrorCode::TlsCertificateError")] {
        let output = folder.command(&state, &[&sink], &["--once"]).env("SSL_CERT_FILE", roots).output().unwrap();
        assert_exit(&output, 0);
        assert!(stderr(&output).contains(outcome), "{}", stderr(&output));
    }
}

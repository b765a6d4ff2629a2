wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package test:prober;
        world guest {
            include hydrant:events/sink@0.1.0;
            include hydrant:events/with-lifecycle@0.1.0;
            include hydrant:events/with-secrets@0.1.0;
        }
    ",
    world: "test:prober/guest",
    generate_all,
});

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher, Hasher};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exports::hydrant::events::event_sink::{Ack, Guest, SinkError, StateEvent};
use exports::hydrant::events::lifecycle::{self, CloseReason, OpenInfo, Opened};
use hydrant::events::secrets;
use hydrant::events::types::{Hints, Manifest, Need};

struct Sink;

static FOLDER: Mutex<String> = Mutex::new(String::new());

impl lifecycle::Guest for Sink {
    fn describe() -> Manifest {
        println!("describe: secret={:?} env={}", secrets::get("token"), std::env::vars().count());
        let need = |grant: &&str| Need { grant: (*grant).to_owned(), reason: "to probe".to_owned() };
        Manifest {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: "1.0.0".to_owned(),
            accepts: vec![],
            writes: None,
            config_schema: None,
            tags: vec![],
            needs: NEEDS.iter().map(need).collect(),
            hints: Hints { batch_events: None, batch_bytes: None, flush_ms: None },
            irreversible: false,
        }
    }

    fn open(info: OpenInfo) -> Result<Opened, SinkError> {
        let folder = info.config.into_iter().find(|(name, _)| name == "folder");
        *FOLDER.lock().unwrap() = folder.map(|(_, value)| value).unwrap_or_default();
        Ok(Opened::Cursor)
    }

    fn close(_reason: CloseReason) {}
}

impl Guest for Sink {
    fn put_event(_event: StateEvent) -> Result<Ack, SinkError> {
        let folder = FOLDER.lock().unwrap().clone();
        let came_of = |what: std::io::Result<String>| what.unwrap_or_else(|error| format!("refused ({error})"));
        println!("time={}", SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos());
        let start = Instant::now();
        std::thread::sleep(Duration::from_millis(5));
        println!("passed={}", start.elapsed().as_nanos());
        println!("random={:016x}", RandomState::new().build_hasher().finish());
        println!("env={:?}", std::env::vars().collect::<Vec<_>>());
        println!("arguments={}", std::env::args().count());
        println!("secret={:?}", secrets::get("token"));
        println!("other-secret={:?}", secrets::get("other"));
        println!("read={}", came_of(fs::read_to_string(format!("{folder}/inside"))));
        for (name, path) in [("parent", "../outside"), ("link", "link"), ("absolute", "/etc/passwd"), ("root", "/")] {
            let path = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
            let found = fs::read_to_string(&path).map(|text| text.len().to_string());
            println!("{name}={}", came_of(found));
        }
        println!("device={}", came_of(fs::read(format!("{folder}/device")).map(|bytes| bytes.len().to_string())));
        println!("write={}", came_of(fs::write(format!("{folder}/written"), "x").map(|()| "done".to_owned())));
        println!("rename={}", came_of(fs::rename(format!("{folder}/inside"), format!("{folder}/moved")).map(|()| "done".to_owned())));
        println!("remove={}", came_of(fs::remove_file(format!("{folder}/gone")).map(|()| "done".to_owned())));
        println!("make-link={}", came_of(fs::hard_link(format!("{folder}/../outside"), format!("{folder}/hard")).map(|()| "done".to_owned())));
        println!("resolve={}", came_of("localhost:80".to_socket_addrs().map(|found| found.count().to_string())));
        println!("connect={}", came_of(TcpStream::connect("127.0.0.1:9").map(|_| "done".to_owned())));
        println!("bind={}", came_of(UdpSocket::bind("127.0.0.1:0").map(|_| "done".to_owned())));
        Ok(Ack::Durable)
    }
}

export!(Sink);

//! Components as sources: the example, and one that misbehaves.

use std::fs;
use std::time::Duration;

use hydrant::component::{ComponentSource, FolderGrant, Grants, Limits, SinkEngine, SourceComponent};
use hydrant::event::StateEvent;
use hydrant::sink_store::SinkStore;
use hydrant::source::{self, EventSource, Next, SourceError};
use hydrant::store::{OnBadLine, ReadOptions};

use crate::harness::{
    Folder, append, assert_exit, block_on, cache, counted, events, guest, limits_of, lines, ndjson_source, stderr,
    stdout, wasm,
};
use crate::operate::Running;

fn source_of(name: &str, limits: &[(&str, &str)], config: &[(&str, &str)], folder: Option<&Folder>) -> ComponentSource {
    let path = guest(name);
    let all = limits_of(limits);
    let engine = SinkEngine::new(all.stack).unwrap();
    let component = SourceComponent::load(&engine, &cache(), &path, &all).unwrap();
    let config = config.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let folders = folder.map(|folder| FolderGrant { path: folder.path(""), writable: false }).into_iter().collect();
    let grants = Grants { folders, ..Grants::default() };
    ComponentSource::new(&path, component, all, config, grants, ReadOptions::default())
}

fn scripted(limits: &[(&str, &str)], config: &[(&str, &str)]) -> ComponentSource {
    source_of("scripted-source", limits, config, None)
}

/// Reads until the source ends or fails.
async fn read(source: &mut ComponentSource) -> Result<Vec<StateEvent>, SourceError> {
    source.open().await?;
    let mut events = Vec::new();
    loop {
        let page = source.get_events().await?;
        events.extend(page.events);
        match page.next {
            Next::More => {}
            Next::Wait(time) => tokio::time::sleep(time.min(Duration::from_millis(50))).await,
            Next::End => return Ok(events),
        }
    }
}

fn ids(events: &[StateEvent]) -> Vec<u64> {
    events.iter().map(StateEvent::id).collect()
}

#[test]
fn source_components_keep_the_contract() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..3_000) + r#"{"eventId":30"#);
    for follow in ["yes", "no"] {
        let config = [("file", log.to_str().unwrap()), ("follow", follow)];
        let mut source = source_of("ndjson-source", &[], &config, Some(&folder));
        block_on(source::contract::check(&mut source, &events(0..3_000))).unwrap();
    }
    let bare: Vec<StateEvent> =
        (0..2_500).map(|id| StateEvent::wrap_legacy(id, r#"{"tag":"TickObserved"}"#).unwrap()).collect();
    for end in ["none", "wait", "spin"] {
        let mut source = scripted(&[], &[("events", "2500"), (end, "30")]);
        block_on(source::contract::check(&mut source, &bare)).unwrap();
    }
    let mut source = scripted(&[], &[("wait", "30")]);
    block_on(source::contract::check(&mut source, &[])).unwrap();
}

#[test]
fn a_file_is_read_in_a_granted_folder_and_followed() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..10));
    let source = ndjson_source(&folder, &log);
    let once = folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap();
    assert_exit(&once, 0);
    assert_eq!(stdout(&once), lines(0..10));

    let sink = wasm("kv-tally", "name=s");
    let running = Running::start_at(folder, &source, &[&sink], &[]);
    running.until_at("s", "9");
    append(&log, &lines(10..15));
    running.until_at("s", "14");
    let folder = running.stop();
    append(&log, &lines(15..20));
    assert_exit(&folder.command_at(&source, &[&sink], &["--once"]).output().unwrap(), 0);
    assert_eq!(counted(&SinkStore::open(&folder.path("data/sinks.redb")).unwrap(), "s"), 20);
}

#[test]
fn what_was_not_granted_cannot_be_read() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..10));
    fs::create_dir(folder.path("other")).unwrap();
    std::os::unix::fs::symlink(&log, folder.path("other/link")).unwrap();
    let other = folder.path("other");
    for (grant, file) in [
        (String::new(), log.clone()),
        (format!("&grant.dir={}:ro", other.display()), log.clone()),
        (format!("&grant.dir={}:ro", other.display()), other.join("link")),
        (format!("&grant.dir={}:ro", other.display()), other.join("../log")),
    ] {
        let source = wasm("ndjson-source", &format!("config.file={}{grant}", file.display()));
        let output = folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap();
        assert_exit(&output, 3);
        assert!(stderr(&output).contains("the source component ndjson-source cannot go on"), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn what_a_source_says_about_itself_ends_in_a_clear_error() {
    let error = |config: &[(&str, &str)]| {
        let mut config = config.to_vec();
        config.push(("events", "10"));
        let error = block_on(async { read(&mut scripted(&[], &config)).await }).unwrap_err();
        hydrant_words(&error)
    };
    for function in ["open", "bounds", "page"] {
        let fatal = error(&[("on", function), ("do", "fatal")]);
        assert!(fatal.contains("scripted-source cannot go on: the script says so"), "{function}: {fatal}");
    }
    let gap = error(&[("on", "page"), ("do", "gap"), ("when", "4")]);
    assert!(gap.contains("the last event read was event 4, the oldest there now is 1000"), "{gap}");
    let bad = error(&[("on", "page"), ("do", "bad-line"), ("when", "4")]);
    assert!(bad.contains("scripted-source.wasm, line 6 that it gave"), "{bad}");
    let order = error(&[("on", "page"), ("do", "other-order"), ("when", "4")]);
    assert!(order.contains("line 6 that it gave") && order.contains("does not come after"), "{order}");
    let token = error(&[("on", "page"), ("do", "long-token")]);
    assert!(token.contains("its token has 65537 bytes"), "{token}");
}

fn hydrant_words(error: &SourceError) -> String {
    let mut words = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

#[test]
fn a_source_that_traps_or_breaks_a_limit_is_started_again_and_given_up_in_the_end() {
    for (deed, limits, said) in [
        ("trap", vec![], "trapped"),
        ("loop", vec![("fuel", "100000")], "broke its limit on fuel"),
        ("huge", vec![("page-bytes", "64KiB")], "broke its limit on page-bytes"),
    ] {
        let config = [("events", "10"), ("on", "page"), ("do", deed), ("when", "4")];
        let outcome = block_on(async {
            let mut source = scripted(&limits, &config);
            source.open().await.unwrap();
            let mut events = Vec::new();
            loop {
                match source.get_events().await {
                    Ok(page) => events.extend(page.events),
                    Err(error) => return (ids(&events), hydrant_words(&error)),
                }
            }
        });
        assert_eq!(outcome.0, (0..=4).collect::<Vec<_>>());
        assert!(outcome.1.contains("failed") && outcome.1.contains(said), "{}", outcome.1);
    }
}

#[test]
fn a_page_within_its_bound_is_taken() {
    // 64 KiB and the room of any other result: a thousand of these lines have some 60 KB.
    let events =
        block_on(async { read(&mut scripted(&[("page-bytes", "64KiB")], &[("events", "1000")])).await.unwrap() });
    assert_eq!(events.len(), 1_000);
}

#[test]
fn a_source_that_cannot_give_so_many_events_is_asked_for_fewer() {
    let events = block_on(async { read(&mut scripted(&[], &[("events", "3000"), ("at-most", "100")])).await.unwrap() });
    assert_eq!(ids(&events), (0..3_000).collect::<Vec<_>>());
}

#[test]
fn a_retry_is_waited_out_and_a_format_that_is_not_taken_is_refused() {
    let waits = block_on(async {
        let mut source = scripted(&[], &[("events", "10"), ("on", "page"), ("do", "retry"), ("when", "4")]);
        source.open().await.unwrap();
        let mut waits = 0;
        for _ in 0..10 {
            waits += u32::from(matches!(source.get_events().await.unwrap().next, Next::Wait(_)));
        }
        waits
    });
    assert!(waits >= 8, "{waits}");

    let folder = Folder::new();
    let source = wasm("scripted-source", "config.events=3&config.format=made.up");
    let output = folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap();
    assert_exit(&output, 0);
    assert!(stderr(&output).contains("format made.up/1"), "{}", stderr(&output));
    let out = format!("file://{}", folder.path("out").display());
    assert_exit(&folder.command_at(&source, &[&out], &["--once"]).output().unwrap(), 1);
}

#[test]
fn a_bad_line_can_be_skipped_and_a_sink_is_no_source() {
    let path = guest("scripted-source");
    let options = ReadOptions { on_bad_line: OnBadLine::Skip, ..ReadOptions::default() };
    let component =
        SourceComponent::load(&SinkEngine::new(1 << 19).unwrap(), &cache(), &path, &Limits::default()).unwrap();
    let config = [("events", "3"), ("on", "page"), ("do", "bad-line")];
    let config = config.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut source = ComponentSource::new(&path, component, Limits::default(), config, Grants::default(), options);
    let findings = block_on(async {
        source.open().await.unwrap();
        source.get_events().await.unwrap().findings
    });
    assert!(findings[0].to_string().contains("line 1 that it gave"), "{findings:?}");

    let folder = Folder::new();
    let output = folder.command_at(&wasm("printer", ""), &["stdout:"], &["--once"]).output().unwrap();
    assert_exit(&output, 2);
    let said = stderr(&output);
    assert!(
        said.contains("not a source of this contract") && said.contains("hydrant:events/event-source@0.1.0"),
        "{said}"
    );
}

#[test]
fn a_source_is_closed_and_prints_to_the_log() {
    let folder = Folder::new();
    let source = wasm("scripted-source", "config.events=3&config.wait=20");
    let output = folder.command_at(&source, &["stdout:"], &["--once"]).output().unwrap();
    assert_exit(&output, 0);
    assert_eq!(stdout(&output).lines().count(), 3);
    assert!(stderr(&output).contains("scripted-source: closed"), "{}", stderr(&output));
}

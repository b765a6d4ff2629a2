//! `hydrant log`

use std::collections::VecDeque;
use std::io::{self, BufWriter, Write, stdout};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use hydrant::head::{self, FoldThread};
use hydrant::store::{
    Finding, LocalLog, OnBadLine, ReadError, ReadLog, ReadOptions, ReadPage, RepairError, Survey, repair, survey,
};

use hydrant::stream::StreamFormat;

use super::progress::{Progress, write_stderr};
use super::{Exit, Failure, LogCommand};

pub(super) fn run(command: LogCommand) -> Result<Exit, Failure> {
    match command {
        LogCommand::Verify { log, decode } => verify(&log.path, decode),
        LogCommand::Repair(log) => mend(&log.path),
        LogCommand::Stats { log, state: false } => stats(&log.path),
        LogCommand::Stats { log, state: true } => state(&log.path),
        LogCommand::Tail { log, events, follow } => tail(&log.path, events, follow),
    }
}

fn open(path: &Path, check_grammar: bool) -> Result<Box<dyn ReadLog>, Failure> {
    let options = ReadOptions { on_bad_line: OnBadLine::Skip, check_grammar, ..ReadOptions::default() };
    LocalLog::at(path).open(options).map_err(Exit::Source.because())
}

/// Reads a log through with a progress bar; reports what it finds.
fn read_through(mut reader: Box<dyn ReadLog>, mut observe: impl FnMut(ReadPage)) -> Result<Survey, Failure> {
    let progress = Progress::bytes("reading");
    let surveyed = survey(&mut *reader, |reader, page| {
        let (done, total) = reader.progress();
        progress.set(done, total, String::new);
        report(&page.findings);
        observe(page);
    });
    surveyed.map_err(Exit::Source.because())
}

fn report(findings: &[Finding]) {
    for finding in findings {
        write_stderr(&format!("{finding}\n"));
    }
}

fn exit_of(whole: bool) -> Exit {
    if whole { Exit::Success } else { Exit::Source }
}

/// Standard output closed early, as by `head`, is the reader's choice.
fn printed(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Exit::SinkFailed.because()),
    }
}

fn verify(path: &Path, decode: bool) -> Result<Exit, Failure> {
    let reader = open(path, true)?;
    if decode {
        refuse_other_format(path, &*reader)?;
    }
    let mut undecodable = 0_u64;
    let survey = read_through(reader, |page| {
        for (event, place) in page.events.iter().zip(&page.places).filter(|_| decode) {
            if let Err(error) = head::check(event) {
                undecodable += 1;
                write_stderr(&format!("{place}: event {} ({}): {error}\n", event.position(), event.tag()));
            }
        }
    })?;
    let range = match (survey.first, survey.last) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => String::new(),
    };
    let verdict = if survey.is_whole() { "whole" } else { "NOT whole" };
    let text = format!(
        "{verdict}: {} events and {} checkpoints{range}, {} gaps in the ids, {} repeated lines, {} lines without an id, {} findings\n",
        survey.events, survey.checkpoints, survey.gaps, survey.duplicates, survey.legacy, survey.findings
    );
    printed(stdout().write_all(text.as_bytes()))?;
    if decode {
        let all = survey.events + survey.checkpoints;
        let text = format!("{} of {all} events come back from their types as equal JSON\n", all - undecodable);
        printed(stdout().write_all(text.as_bytes()))?;
    }
    Ok(exit_of(survey.is_whole() && undecodable == 0))
}

/// What events of other formats mean is not known here; folded all the same, they would lead to a state that is none.
fn refuse_other_format(path: &Path, reader: &dyn ReadLog) -> Result<(), Failure> {
    match reader.format().filter(|format| *format != StreamFormat::state_event()) {
        Some(format) => {
            let path = path.display();
            let error = anyhow::anyhow!("{path} holds events of the format {format}, which are not read into types");
            Err(Exit::Source.because()(error))
        }
        None => Ok(()),
    }
}

fn state(path: &Path) -> Result<Exit, Failure> {
    let reader = open(path, false)?;
    refuse_other_format(path, &*reader)?;
    let thread = FoldThread::start().map_err(Exit::Source.because())?;
    let survey = read_through(reader, |page| thread.push(page.events))?;
    let fold = thread.finish().map_err(|error| Exit::Source.because()(*error))?;
    for tag in fold.unknown_tags() {
        write_stderr(&format!("the tag {tag:?} is not known; its events have no effect on the state\n"));
    }
    printed(writeln!(stdout(), "{}", fold.state().to_json()))?;
    Ok(exit_of(survey.is_whole()))
}

fn stats(path: &Path) -> Result<Exit, Failure> {
    let survey = read_through(open(path, false)?, |_| {})?;
    let mut out = BufWriter::new(stdout().lock());
    let lines = survey.tags.iter().try_for_each(|(tag, count)| writeln!(out, "{tag} {count}"));
    printed(lines.and_then(|()| out.flush()))?;
    Ok(exit_of(survey.is_whole()))
}

fn mend(path: &Path) -> Result<Exit, Failure> {
    let (done, remaining) = repair(path).map_err(|error| match error {
        RepairError::Read(error) => Exit::Source.because()(error),
        error => Exit::Usage.because()(error),
    })?;
    let done = done.map_or_else(|| "nothing to mend at the end of the log".to_owned(), |repair| repair.to_string());
    printed(stdout().write_all(format!("{done}\n").as_bytes()))?;
    report(&remaining);
    Ok(exit_of(remaining.is_empty()))
}

/// How often a followed log is looked at.
const POLL: Duration = Duration::from_millis(100);

fn tail(path: &Path, events: usize, follow: bool) -> Result<Exit, Failure> {
    let mut reader = open(path, false)?;
    let (mut last, mut findings) = (VecDeque::new(), 0);
    survey(&mut *reader, |_, page| {
        for event in &page.events {
            last.push_back(event.json().to_owned());
            if last.len() > events {
                last.pop_front();
            }
        }
        report(&page.findings);
        findings += page.findings.iter().filter(|finding| finding.is_fault()).count();
    })
    .map_err(Exit::Source.because())?;
    let mut out = BufWriter::new(stdout().lock());
    let lines = last.iter().try_for_each(|line| writeln!(out, "{line}"));
    printed(lines.and_then(|()| out.flush()))?;
    if follow {
        print_what_follows(&mut *reader, &mut out)?;
    }
    Ok(exit_of(findings == 0))
}

fn print_what_follows(reader: &mut dyn ReadLog, out: &mut impl Write) -> Result<(), Failure> {
    loop {
        let page = reader.read_page().map_err(|error: ReadError| Exit::Source.because()(error))?;
        report(&page.findings);
        let lines = page.events.iter().try_for_each(|event| writeln!(out, "{}", event.json()));
        match lines.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(Exit::SinkFailed.because())?,
        }
        if page.caught_up {
            sleep(POLL);
        }
    }
}

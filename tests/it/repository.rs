//! What the project promises about itself.

use std::fs;
use std::path::{Path, PathBuf};

use hydrant::component::LIMITS;

use crate::harness::root;

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn files_stay_short() {
    let mut files = Vec::new();
    sources(&root().join("runtime"), &mut files);
    let mut lengths: Vec<usize> = files.iter().map(|file| fs::read_to_string(file).unwrap().lines().count()).collect();
    lengths.sort_unstable();
    assert!(lengths[lengths.len() / 2] <= 200, "the median is {}", lengths[lengths.len() / 2]);
    assert!(lengths[lengths.len() - 1] <= 600, "the longest has {}", lengths[lengths.len() - 1]);
}

#[test]
fn the_operators_page_states_every_limit_as_it_is() {
    let page = fs::read_to_string(root().join("docs/guide/limits.md")).unwrap();
    let row = |limit: &hydrant::component::Limit| {
        format!(
            "| `{}` | {} | {} to {} | {} |",
            limit.name,
            limit.unit.show(limit.default),
            limit.unit.show(limit.min),
            limit.unit.show(limit.max),
            limit.reason
        )
    };
    let rows: Vec<String> = LIMITS.iter().map(row).collect();
    for row in &rows {
        assert!(
            page.contains(row.as_str()),
            "docs/guide/limits.md lacks this row:\n{row}\nThe table is:\n{}",
            rows.join("\n")
        );
    }
}

#[test]
fn every_make_target_has_a_line_of_help() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    for target in ["run", "test", "guests", "check", "bench", "fuzz", "torture", "ci"] {
        let rule = makefile.lines().find(|line| line.starts_with(&format!("{target}:")));
        assert!(rule.is_some_and(|rule| rule.contains("## ")), "make {target} has no help");
    }
}

//! Compiling in a child process: bombs end with a clear error and no harm.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use hydrant::component::{CompileCache, CompileError, Compiler, LoadError, SinkComponent, SinkEngine};

use crate::harness::{Folder, assert_exit, compiler, guest, limits_of, lines, stderr, wasm};

/// A component with one function of this many instructions, each of which the compiler must place.
pub(crate) fn bomb(instructions: usize) -> Vec<u8> {
    let mut body = String::new();
    for number in 0..instructions / 4 {
        write!(body, "local.get 0 i32.const {number} i32.mul local.tee 0 ").unwrap();
    }
    let wat = format!(
        "(component (core module (func (export \"f\") (param i32) (result i32) {body} i32.const 0 {}))) ",
        "i32.add ".repeat(instructions / 4)
    );
    wat::parse_str(wat).unwrap()
}

fn compile(wasm: &[u8], compiler: Compiler, limits: &[(&str, &str)]) -> LoadError {
    let folder = Folder::new();
    let cache = CompileCache::open(folder.path("components"), compiler).unwrap();
    let limits = limits_of(limits);
    SinkComponent::from_bytes(&SinkEngine::new(limits.stack).unwrap(), &cache, wasm, &limits).unwrap_err()
}

fn broken_limit(error: &LoadError) -> &'static str {
    match error {
        LoadError::Compile(CompileError::Limit { name, .. }) => name,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_bomb_is_stopped_at_its_memory_its_processor_time_and_its_time() {
    let bomb = bomb(1_000_000);
    let error = compile(&bomb, compiler(), &[("compile-memory", "256MiB"), ("compile-cpu", "10m")]);
    assert_eq!(broken_limit(&error), "compile-memory");
    let error = compile(&bomb, compiler(), &[("compile-cpu", "1s")]);
    assert_eq!(broken_limit(&error), "compile-cpu");
    let start = Instant::now();
    let error = compile(&bomb, compiler(), &[("compile-timeout", "300ms")]);
    assert_eq!(broken_limit(&error), "compile-timeout");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(error.to_string().contains("compile-timeout="), "the remedy is not named: {error}");
}

#[test]
fn an_ordinary_component_is_compiled_within_the_tightest_memory() {
    let folder = Folder::new();
    let cache = CompileCache::open(folder.path("components"), compiler()).unwrap();
    let limits = limits_of(&[("compile-memory", "256MiB"), ("compile-cpu", "1m")]);
    let engine = SinkEngine::new(limits.stack).unwrap();
    SinkComponent::load(&engine, &cache, &guest("tally"), &limits).unwrap();
}

#[test]
fn what_is_no_component_is_told_in_the_compilers_words() {
    let error = compile(b"\0asm\x0d\0\x01\0garbage", compiler(), &[]);
    let LoadError::Compile(CompileError::Invalid(source)) = &error else { panic!("{error:?}") };
    assert!(!source.to_string().is_empty());
}

#[test]
fn a_compiler_that_is_missing_or_fails_is_an_error() {
    let program = |program: &str| Compiler::Child { program: program.into(), arguments: Vec::new() };
    let error = compile(b"(component)", program("/nowhere/hydrant"), &[]);
    assert!(matches!(error, LoadError::Compile(CompileError::Process(_))), "{error:?}");
    let error = compile(b"(component)", program("/bin/false"), &[]);
    assert!(matches!(error, LoadError::Compile(CompileError::Failed { .. })), "{error:?}");
}

#[test]
fn a_folder_that_others_may_write_to_is_no_cache() {
    let folder = Folder::new();
    let path = folder.path("components");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
    let error = CompileCache::open(&path, compiler()).unwrap_err().to_string();
    assert!(error.contains("chmod go-w"), "{error}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    CompileCache::open(&path, compiler()).unwrap();
}

#[test]
fn the_process_goes_on_without_harm_after_a_bomb() {
    let folder = Folder::new();
    let log = folder.file("log", lines(0..10));
    let bomb_path = folder.path("bomb.wasm");
    fs::write(&bomb_path, bomb(1_000_000)).unwrap();
    let source = format!("file://{}", log.display());
    let sink = format!("wasm:{}?compile-timeout=300ms", bomb_path.display());
    let output = folder.command_at(&source, &[&sink], &["--once"]).output().unwrap();
    assert_exit(&output, 2);
    assert!(stderr(&output).contains("compile-timeout") && stderr(&output).contains("\"bomb\""), "{}", stderr(&output));
    let output = folder.command_at(&source, &[&wasm("printer", "")], &["--once"]).output().unwrap();
    assert_exit(&output, 0);
}

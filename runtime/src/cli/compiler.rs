//! `hydrant compile-component`: what a hydrant that runs starts to compile a component.

use std::ffi::OsString;

use anyhow::Context;
use hydrant::component::{Compiler, serve_compiler};

use super::{Exit, Failure};

/// The subcommand's name.
const COMMAND: &str = "compile-component";

/// This very program as the compiler.
pub(super) fn child() -> anyhow::Result<Compiler> {
    let program = std::env::current_exe().context("cannot find our own program to compile components with")?;
    Ok(Compiler::Child { program, arguments: vec![COMMAND.into()] })
}

pub(super) fn serve(bounds: &[OsString]) -> Result<Exit, Failure> {
    std::process::exit(serve_compiler(bounds))
}

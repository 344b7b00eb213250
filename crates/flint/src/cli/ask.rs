//! The commands that ask the daemon, and show what it answers.

use super::args::Command;
use super::client::Client;
use super::error::Error;
use super::output::Output;
use super::{now, tables};
use crate::api;
use crate::error::Exit;
use std::io;

/// Asks, and shows the answer.
///
/// # Errors
/// [`Error`] of the call or of the terminal.
pub(super) async fn ask(out: Output, client: &Client, command: Command) -> Result<Exit, Error> {
    let now = now();
    match command {
        Command::Ps => {
            let answer: api::Vms = client.get("/v1/vms").await?;
            out.show(&answer, |answer| tables::vms(answer, now))?;
        }
        Command::Jobs { all } => {
            let path = if all { "/v1/jobs?done=1" } else { "/v1/jobs" };
            let answer: api::Jobs = client.get(path).await?;
            out.show(&answer, |answer| tables::jobs(answer, now))?;
        }
        Command::Why { job } => {
            let answer: api::WhyAnswer = client.get(&format!("/v1/why/{job}")).await?;
            out.show(&answer, tables::why)?;
        }
        Command::Logs { vm, follow, console } => {
            let flag = |on: bool| u8::from(on);
            let path = format!("/v1/logs/{vm}?follow={}&console={}", flag(follow), flag(console));
            logs(out, client, &path).await?;
        }
        Command::Drain => show_status(out, &client.post("/v1/drain").await?)?,
        // The rest never comes here: `carry_out` keeps it to itself.
        _ => show_status(out, &client.get("/v1/status").await?)?,
    }
    Ok(Exit::Ok)
}

fn show_status(out: Output, answer: &api::Status) -> Result<(), Error> {
    out.show(answer, |answer| tables::status(answer, now()))
}

/// A guest's text, line by line as it comes, until the daemon ends it or our reader goes away (`| head`).
async fn logs(out: Output, client: &Client, path: &str) -> Result<(), Error> {
    let mut rest: Vec<u8> = Vec::new();
    let show = |bytes: &[u8]| {
        out.raw(crate::text::escaped_lines(&String::from_utf8_lossy(bytes)).as_bytes())
    };
    let streamed = client.stream(path, |piece| {
        rest.extend_from_slice(piece);
        // A line has an end that we can wait for, a console's prompt may not: nothing grows without bound.
        let whole = match rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => end + 1,
            None if rest.len() > flint_wire::LINE_MAX => rest.len(),
            None => return Ok(()),
        };
        show(&rest.drain(..whole).collect::<Vec<u8>>())
    });
    let ended =
        streamed.await.and_then(|()| show(&rest).map_err(|source| Error::Output { source }));
    match ended {
        Err(Error::Output { source }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}

//! A whole daemon on an embedded node, to be measured.

use actix::System;
use actors::board::Board;
use anyhow::bail;

use crate::config::{Profile, Settings};
use crate::exit::{Exit, ExitError};
use crate::lifecycle::{self, Event, Life};

/// Runs a daemon with these settings for as long as `work` takes, and stops it.
///
/// # Errors
/// The daemon does not start, or gives up; a signal; what `work` says.
pub fn with_daemon<T>(
    settings: &Settings,
    work: impl AsyncFnOnce(&Board) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    lifecycle::prepare(settings, Profile::Development, None)?;
    System::new().block_on(async {
        let Some(mut life) = Life::start(settings, None).await? else {
            bail!(interrupted());
        };
        let board = life.world.board.clone();
        let result = {
            let work = work(&board);
            tokio::pin!(work);
            loop {
                tokio::select! {
                    result = &mut work => break result,
                    event = life.next() => match event {
                        Event::Hangup => {}
                        Event::Stop => break Err(interrupted().into()),
                        Event::GaveUp => break Err(gave_up().into()),
                    },
                }
            }
        };
        life.stop(Exit::Ok).await;
        result
    })
}

fn interrupted() -> ExitError {
    ExitError::new(Exit::Failed, "interrupted before everything was measured")
}

fn gave_up() -> ExitError {
    ExitError::new(
        Exit::Internal,
        "the daemon that was to be measured could not be kept up; -v shows why",
    )
}

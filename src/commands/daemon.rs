//! `daemon`: the whole program under a service manager.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use actix::System;
use actors::api::{Reply, Request, ask};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info};

use crate::cli::Global;
use crate::config::{self, Profile, Settings};
use crate::exit::{Exit, ExitError};
use crate::lifecycle::{self, Event, Life, STOP_DEADLINE};
use crate::logging;
use crate::notify::{self, Notify};
use crate::reload::{self, Reloaded};
use crate::tree::Outlook;

/// Switches the daemon off where a service manager starts it all the same.
const SWITCH: &str = "SIGNALCORE_ENABLED";
/// Time between two looks at the state that the service manager is told.
const STATE_PERIOD: Duration = Duration::from_secs(2);
/// Time between two tries to reach the own control socket.
const SOCKET_PERIOD: Duration = Duration::from_millis(100);
/// What a stop may take beside the children: the nodes' threads, the journal, the log.
const STOP_EXTRA: Duration = Duration::from_secs(10);
/// A reload that takes longer no longer counts as progress, and the watchdog hears nothing more of it.
const RELOAD_LONGEST: Duration = Duration::from_mins(1);

/// Runs until SIGTERM or SIGINT, or until the tree gives up.
///
/// # Errors
/// A configuration that cannot be used, another instance, a child that does not start.
pub fn run(global: &Global) -> anyhow::Result<Exit> {
    let notify = Notify::from_environment();
    System::new().block_on(async {
        if !enabled(env::var_os(SWITCH).as_deref())? {
            let why = format!("{SWITCH} switches it off");
            info!("{why}: nothing to do");
            // To a service manager, an end before the service was ready would be a failure.
            notify.ready(&why).await;
            notify.stopping(&why, STOP_EXTRA).await;
            return Ok(Exit::Ok);
        }
        let result = Box::pin(serve(global.config.as_deref(), &notify)).await;
        if let Err(error) = &result {
            notify.state(&format!("{error:#}"));
        }
        result
    })
}

/// Whether the daemon is to run at all.
fn enabled(value: Option<&OsStr>) -> Result<bool, ExitError> {
    let Some(value) = value else {
        return Ok(true);
    };
    let word = value.to_string_lossy().to_lowercase();
    match word.as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(ExitError::new(
            Exit::Config,
            format!("{SWITCH}={word} says neither yes nor no; give true or false, or unset it"),
        )),
    }
}

async fn serve(file: Option<&Path>, notify: &Notify) -> anyhow::Result<Exit> {
    let mut settings = config::load(file)?;
    let profile = settings.profile.unwrap_or(Profile::Production);
    lifecycle::prepare(&settings, profile, file)?;
    let Some(mut life) = Life::start(&settings, None).await? else {
        return Ok(Exit::Ok);
    };
    // Why the last reload did not take.
    let mut grudge = None;
    let exit = loop {
        let outlook = life.tree.outlook();
        let event = tokio::select! {
            event = life.next() => event,
            () = notify.watch(|deadline| outlook.is_live(deadline)) => continue,
            () = report(&settings, &outlook, grudge.as_deref(), notify) => continue,
        };
        match event {
            Event::Stop => break Exit::Ok,
            Event::GaveUp => break Exit::Internal,
            Event::Hangup => {}
        }
        logging::reopen();
        info!("SIGHUP: reading the configuration again");
        notify.reloading().await;
        let reloaded = match reload::read(&settings, profile, file) {
            Ok(new) => alive(notify, life.swap(&settings, new)).await,
            Err(why) => Reloaded::Old(why),
        };
        match reloaded {
            Reloaded::New(new) => {
                // The limits of the log file may be others.
                if let Err(error) = logging::attach(&new) {
                    error!("{error}");
                }
                info!("the new configuration is in force");
                settings = *new;
                grudge = None;
            }
            Reloaded::Old(why) => {
                error!("the old configuration stays in force: {why}");
                grudge = Some(format!("; not reloaded: {why}"));
            }
            Reloaded::Stop => break Exit::Ok,
            Reloaded::Failed => break Exit::Internal,
        }
    };
    let why = match exit {
        Exit::Ok => "stopping",
        _ => "stopping: a part could not be kept up",
    };
    notify.stopping(why, STOP_DEADLINE + STOP_EXTRA).await;
    Ok(life.stop(exit).await)
}

/// Says that the program is ready once its control socket answers, and then how it is doing, whenever
/// that changes. Never resolves.
async fn report(settings: &Settings, outlook: &Outlook, grudge: Option<&str>, notify: &Notify) {
    let state = || {
        let (node, status) = outlook.look();
        notify::state(&node, &status) + grudge.unwrap_or_default()
    };
    while !answers(settings).await {
        sleep(SOCKET_PERIOD).await;
    }
    let mut said = state();
    notify.ready(&said).await;
    info!("ready: {said}");
    loop {
        outlook.changed(STATE_PERIOD).await;
        let now = state();
        if now != said {
            notify.state(&now);
            said = now;
        }
    }
}

/// Whether the control socket answers as it does to everybody.
async fn answers(settings: &Settings) -> bool {
    let path = settings.control_socket();
    let asked = tokio::task::spawn_blocking(move || ask(&path, &Request::Status));
    match asked.await {
        Ok(Ok(Reply::Status(_))) => true,
        other => {
            debug!("the control socket does not answer yet: {other:?}");
            false
        }
    }
}

/// Keeps the watchdog content while a reload makes progress: it has deadlines of its own.
async fn alive<T>(notify: &Notify, reload: impl Future<Output = T>) -> T {
    let pings = async {
        // Only ever ends by running out of time.
        let _ = timeout(RELOAD_LONGEST, notify.watch(|_| std::future::ready(true))).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = reload => done,
        () = pings => unreachable!("the pings never end"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_knows_yes_and_no_in_any_case_and_nothing_else() {
        let says = |word: &str| enabled(Some(OsStr::new(word))).map_err(|error| error.exit);
        assert!(enabled(None).is_ok_and(|on| on));
        for word in ["true", "1", "yes", "on", "TRUE", "Yes"] {
            assert_eq!(says(word), Ok(true), "{word}");
        }
        for word in ["false", "0", "no", "off", "False", "OFF"] {
            assert_eq!(says(word), Ok(false), "{word}");
        }
        for word in ["", " ", "2", "disabled", "f\u{fc}r"] {
            assert_eq!(says(word), Err(Exit::Config), "{word}");
        }
    }
}

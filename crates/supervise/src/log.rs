//! What a supervisor writes to the log.

use tracing::{debug, error, info, warn};

use crate::status::{EventKind, SupervisionEvent};

pub(crate) fn log(supervisor: &str, event: &SupervisionEvent) {
    let (child, generation) = (&event.child, event.generation);
    match &event.kind {
        EventKind::Starting | EventKind::Stopping | EventKind::Released | EventKind::Ended => {
            debug!(%supervisor, %child, generation, "{:?}", event.kind);
        }
        EventKind::Started => info!(%supervisor, %child, generation, "up"),
        EventKind::Exited(reason) if reason.is_abnormal() => {
            error!(%supervisor, %child, generation, "{reason}");
        }
        EventKind::Exited(reason) => info!(%supervisor, %child, generation, "{reason}"),
        EventKind::CleanupPanicked(panic) => {
            error!(%supervisor, %child, generation, "{panic} while its remains were dropped");
        }
        EventKind::Abandoned => {
            error!(%supervisor, %child, generation, "hangs: abandoned, its generation is revoked");
        }
        EventKind::AbandonedEnded => {
            warn!(%supervisor, %child, generation, "an abandoned generation has ended after all");
        }
        EventKind::Restarting(delay) => {
            warn!(%supervisor, %child, generation, ?delay, "will be started again");
        }
        EventKind::Escalated(cause) => {
            error!(%supervisor, %child, generation, ?cause, "cannot be kept up: giving up");
        }
    }
}

//! What is answered over HTTP.

use std::fmt::Write as _;

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};

use super::super::desk::Desk;
use crate::health::{Condition, HealthReport};

const TEXT: &str = "text/plain; charset=utf-8";

/// Whether the tree is kept up. A supervisor that does not answer is a reason to restart the program; a
/// child that hangs is the supervisor's business.
pub(super) async fn livez(desk: web::Data<Desk>) -> HttpResponse {
    if desk.examiner.is_live().await {
        text(HttpResponse::Ok(), "ok\n".to_owned())
    } else {
        text(
            HttpResponse::ServiceUnavailable(),
            "the supervisor does not answer, stops or has given up\n".to_owned(),
        )
    }
}

/// Whether the node is on its tip and the pipeline works on it.
pub(super) async fn readyz(request: HttpRequest, desk: web::Data<Desk>) -> HttpResponse {
    let verbose = request
        .query_string()
        .split('&')
        .any(|part| part == "verbose" || part.starts_with("verbose="));
    let report = desk.examiner.report().await;
    let body = if verbose || !report.is_ready() {
        listed(&report)
    } else {
        "ok\n".to_owned()
    };
    text(readiness(&report), body)
}

fn readiness(report: &HealthReport) -> HttpResponseBuilder {
    if report.is_ready() {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    }
}

/// The components, as Kubernetes' own servers list their checks.
fn listed(report: &HealthReport) -> String {
    let mut list = String::new();
    for (name, component) in report.in_order() {
        let _ = match component.status {
            Condition::Ok => writeln!(list, "[+]{name} ok"),
            Condition::Warning => {
                writeln!(list, "[+]{name} ok, with a warning: {}", component.message)
            }
            Condition::Critical => writeln!(list, "[-]{name} failed: {}", component.message),
            Condition::Unknown => writeln!(list, "[-]{name} unknown: {}", component.message),
        };
    }
    let verdict = if report.is_ready() {
        "passed"
    } else {
        "failed"
    };
    let _ = writeln!(list, "readyz check {verdict}");
    list
}

/// The status document.
pub(super) async fn status(desk: web::Data<Desk>) -> HttpResponse {
    HttpResponse::Ok().json(desk.status())
}

/// The health document.
pub(super) async fn health(desk: web::Data<Desk>) -> HttpResponse {
    HttpResponse::Ok().json(desk.examiner.report().await)
}

/// Everything else.
pub(super) async fn nothing() -> HttpResponse {
    text(
        HttpResponse::NotFound(),
        "there is /livez, /readyz?verbose, /api/v1/status and /api/v1/health\n".to_owned(),
    )
}

fn text(mut response: HttpResponseBuilder, body: String) -> HttpResponse {
    response.content_type(TEXT).body(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Component;

    #[test]
    fn components_are_listed_with_a_sign_and_the_verdict_is_last() {
        let mut report = HealthReport::default();
        report.set("node", Component::ok("on its tip"));
        report.set("pipeline", Component::critical("stands"));
        report.set("resources", Component::warning("memory is low"));
        report.conclude();
        assert_eq!(
            listed(&report),
            "[-]pipeline failed: stands\n[+]resources ok, with a warning: memory is low\n[+]node ok\n\
             readyz check failed\n"
        );
    }
}

//! What every request has to pass: it reads, it was meant for us, and there is capacity for it.

use std::net::IpAddr;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{
    ALLOW, CACHE_CONTROL, HOST, HeaderValue, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::http::{Method, Version};
use actix_web::middleware::Next;
use actix_web::{Error, HttpResponse, HttpResponseBuilder, web};

use super::super::desk::Desk;
use crate::resources::Degradation;

/// The middleware.
pub(super) async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = match refusal(&request) {
        Some(refusal) => request.into_response(refusal).map_into_boxed_body(),
        None => next.call(request).await?.map_into_boxed_body(),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

fn refusal(request: &ServiceRequest) -> Option<HttpResponse> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refusal = HttpResponse::MethodNotAllowed();
        refusal.insert_header((ALLOW, "GET, HEAD"));
        return Some(say(refusal, "this server is read only: GET or HEAD"));
    }
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    match host {
        // A client that knows no Host header is no browser.
        None if request.version() == Version::HTTP_10 => {}
        None => return Some(say(HttpResponse::BadRequest(), "a Host header is needed")),
        Some(host) if is_ours(&String::from_utf8_lossy(host)) => {}
        Some(_) => {
            return Some(say(
                HttpResponse::MisdirectedRequest(),
                "not a name of this server: ask by IP address or as localhost",
            ));
        }
    }
    let desk = request.app_data::<web::Data<Desk>>()?;
    let degradation = *desk.board.degradation.borrow();
    let is_probe = ["/livez", "/readyz"].contains(&request.path());
    if degradation >= Degradation::Trimmed && !is_probe {
        let mut refusal = HttpResponse::ServiceUnavailable();
        refusal.insert_header((RETRY_AFTER, "60"));
        return Some(say(
            refusal,
            &format!("resources are short: {degradation}; ask on the control socket"),
        ));
    }
    None
}

fn say(mut refusal: HttpResponseBuilder, why: &str) -> HttpResponse {
    refusal
        .content_type("text/plain; charset=utf-8")
        .body(format!("{why}\n"))
}

/// Whether a Host header names this server. Against DNS rebinding: a page of somebody else's, opened in
/// a browser on this machine, can make its own *name* point here, and the browser then sends that name.
/// An address cannot be rebound, so any address will do.
fn is_ours(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if port.is_empty() || port.starts_with(':') => address,
            _ => return false,
        },
        None => host.rsplit_once(':').map_or(&*host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_by_address_or_loopback_name_is_meant_for_us() {
        for host in [
            "127.0.0.1:9833",
            "127.0.0.1",
            "localhost",
            "LocalHost:80",
            "localhost.:80",
            "[::1]:9833",
            "[::1]",
            "192.168.1.7:9833",
            "miner.localhost",
        ] {
            assert!(is_ours(host), "{host}");
        }
    }

    #[test]
    fn a_request_by_any_other_name_is_not() {
        for host in [
            "",
            "evil.example",
            "evil.example:9833",
            "localhost.evil.example",
            "127.0.0.1.evil.example:9833",
            "evil.example:127.0.0.1",
            "[::1].evil.example",
            "[::1",
            "notlocalhost",
        ] {
            assert!(!is_ours(host), "{host}");
        }
    }
}

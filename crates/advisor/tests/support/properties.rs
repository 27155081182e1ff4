//! What must hold of any bytes that come in place of a question or an answer. `cargo test` tries some; the fuzz target
//! `advice` searches for more.

use advisor::protocol::{REASON_MOST, Recommendation, Reply, Request};

/// The question that is asked.
pub const ID: &str = "q1";

/// `raw` as a reply: it keeps every rule, or what is said of it is fit for a log.
pub fn reply(raw: &[u8]) {
    match Reply::parse(raw, ID) {
        Ok(reply) => {
            assert_eq!((reply.v, reply.id.as_str()), (1, ID));
            assert!((0.0..=1.0).contains(&reply.confidence));
            assert!(fits(&reply.reason, REASON_MOST), "{:?}", reply.reason);
            if let Some(seconds) = reply.hold_s {
                assert!(seconds.is_finite() && seconds >= 0.0);
                assert_eq!(reply.recommendation, Recommendation::Hold);
            }
            // What was taken can be sent, and is the same again, but for the last digit of a number.
            let line = reply.to_line().expect("it keeps the rules");
            let again = Reply::parse(line.as_bytes(), ID).expect("it was one");
            assert_eq!(
                (again.recommendation, again.reason),
                (reply.recommendation, reply.reason)
            );
        }
        Err(misreply) => assert!(fits(&misreply.to_string(), 300), "{misreply}"),
    }
}

/// `raw` as a request: it keeps every rule, in each of its tries, or it is refused.
pub fn request(raw: &[u8]) {
    let Ok(request) = Request::parse(raw) else {
        return;
    };
    for attempt in [1, 2, 3] {
        let asked = request.for_attempt(attempt);
        let line = asked.to_line().expect("it keeps the rules");
        assert!(!line.contains('\n'));
        let again = Request::parse(line.as_bytes()).expect("it was one");
        assert_eq!((again.attempt, again.id), (attempt, request.id.clone()));
    }
}

fn fits(text: &str, most: usize) -> bool {
    text.chars().count() <= most && !text.contains(char::is_control)
}

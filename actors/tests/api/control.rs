//! The control socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use signalcore_actors::api::{FaultKind, Reply, Request, SocketError, ask};
use signalcore_actors::health::Condition;
use signalcore_actors::messages::{TipSeen, TipSource};
use supervise::Fault;

use super::office::{HANG, Office};
use super::support::{LIMIT, run, until, until_true};

fn fault(child: &str, kind: FaultKind) -> Request {
    Request::Fault {
        child: child.to_owned(),
        kind,
        seconds: None,
    }
}

#[test]
fn everybody_answers_and_their_latency_is_measured() {
    run(async {
        let office = Office::open().await;
        let report = office.health().await;
        for child in ["api", "patient", "supervisor"] {
            let component = &report.components[child];
            assert_eq!(component.status, Condition::Ok, "{child}: {component:?}");
            assert!(component.latency_s.is_some(), "{child}: {component:?}");
        }
        office.close().await;
    });
}

#[test]
fn a_child_that_hangs_is_named_in_time() {
    run(async {
        let office = Office::open().await;
        office.harm("patient", Fault::Hang(HANG)).await;
        // The asking side waits for two seconds, so that an answer is one in time.
        let report = office.health().await;
        assert_eq!(report.status, Condition::Critical, "{report:?}");
        let patient = &report.components["patient"];
        assert!(patient.message.contains("hangs"), "{patient:?}");
        assert_eq!(report.components["api"].status, Condition::Ok);
        // The patient's thread outlasts the test; the process ends it.
    });
}

#[test]
fn any_number_of_questions_cost_one_roll_call() {
    run(async {
        let office = Office::open().await;
        office.harm("patient", Fault::Hang(HANG)).await;
        let asked = (0..20).map(|_| office.health());
        for report in futures::future::join_all(asked).await {
            assert_eq!(report.components["patient"].status, Condition::Critical);
        }
    });
}

#[test]
fn an_api_that_hangs_is_given_up_in_time() {
    run(async {
        let office = Office::open().await;
        office.harm("api", Fault::Hang(HANG)).await;
        let control = office.control.clone();
        let answer = tokio::task::spawn_blocking(move || ask(&control, &Request::Health));
        let answer = answer.await.expect("the question is put");
        assert!(
            matches!(answer, Err(SocketError::Silent { .. })),
            "{answer:?}"
        );
    });
}

#[test]
fn a_listener_whose_queue_is_full_is_silent_and_a_missing_one_absent() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control.sock");
    assert!(matches!(
        ask(&path, &Request::Health),
        Err(SocketError::Absent { .. })
    ));
    let listener = UnixListener::bind(&path).expect("a listener that never accepts");
    // Fill its queue: connecting blocks once it is full, so it is done without.
    let mut waiting = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        while let Ok(stream) = tokio::net::UnixStream::connect(&path).await {
            waiting.push(stream);
        }
    });
    assert!(matches!(
        ask(&path, &Request::Health),
        Err(SocketError::Silent { .. })
    ));
    drop(listener);
    assert!(matches!(
        ask(&path, &Request::Health),
        Err(SocketError::Absent { .. })
    ));
}

#[test]
fn slow_clients_however_many_do_not_keep_a_health_check_out() {
    run(async {
        let office = Office::open().await;
        let mut slow = Vec::new();
        for n in 0..40 {
            let mut stream = UnixStream::connect(&office.control).expect("let in");
            if n % 2 == 0 {
                stream.write_all(b"{\"comm").expect("half a request");
            }
            slow.push(stream);
        }
        let report = office.health().await;
        assert_eq!(report.components["api"].status, Condition::Ok);
        // Whoever has been silent longest had to leave for it.
        let mut first = slow.swap_remove(0);
        let left = tokio::task::spawn_blocking(move || {
            first.set_read_timeout(Some(LIMIT)).expect("a timeout");
            first.read(&mut [0; 1])
        });
        // Closed, or reset if it had said something that nobody had read.
        let left = left.await.expect("read");
        let reset = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(
            matches!(&left, Ok(0)) || left.as_ref().is_err_and(reset),
            "{left:?}"
        );
        office.close().await;
    });
}

#[test]
fn a_request_that_is_none_is_answered_with_a_word() {
    run(async {
        let office = Office::open().await;
        let path = office.control.clone();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).expect("let in");
            stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
            stream.write_all(b"hello\n").expect("sent");
            let mut answer = [0; 64];
            let length = stream.read(&mut answer).expect("an answer");
            String::from_utf8_lossy(&answer[..length]).into_owned()
        });
        let answer = answer.await.expect("asked");
        assert!(answer.contains("not a request"), "{answer}");
        office.close().await;
    });
}

#[test]
fn faults_are_refused_unless_they_are_allowed() {
    run(async {
        let office = Office::open_with(None, false).await;
        let reply = office.ask(fault("patient", FaultKind::Panic)).await;
        let Reply::Error(reason) = reply else {
            panic!("{reply:?}");
        };
        assert!(reason.contains("debug.fault_injection"), "{reason}");
        assert_eq!(office.tree.children()[0].restarts, 0);
        office.close().await;
    });
}

#[test]
fn a_fault_is_injected_and_said() {
    run(async {
        let office = Office::open().await;
        for kind in [FaultKind::Panic, FaultKind::Exit] {
            let before = office.tree.children()[0].restarts;
            let reply = office.ask(fault("patient", kind)).await;
            assert!(
                matches!(&reply, Reply::Done(word) if word.contains("patient")),
                "{reply:?}"
            );
            until_true("the restart", || {
                let patient = &office.tree.children()[0];
                patient.restarts > before && patient.state.name() == "up"
            })
            .await;
        }
        let reply = office.ask(fault("nobody", FaultKind::Panic)).await;
        assert!(
            matches!(&reply, Reply::Error(word) if word.contains("nobody")),
            "{reply:?}"
        );
        let too_long = Request::Fault {
            child: "patient".to_owned(),
            kind: FaultKind::Hang,
            seconds: Some(-1.0),
        };
        let reply = office.ask(too_long).await;
        assert!(matches!(reply, Reply::Error(_)), "{reply:?}");
        office.close().await;
    });
}

#[test]
fn a_fault_of_the_api_itself_is_said_before_it_is_done_and_the_socket_survives() {
    run(async {
        let office = Office::open().await;
        let reply = office.ask(fault("api", FaultKind::Panic)).await;
        assert!(matches!(reply, Reply::Done(_)), "{reply:?}");
        office.restarted("api").await;
        let report = office.health().await;
        assert_eq!(report.components["api"].status, Condition::Ok);
        assert_eq!(
            report.components["recovery"].status,
            Condition::Ok,
            "{report:?}"
        );
        office.close().await;
    });
}

#[test]
fn status_shows_the_verdict_of_the_last_glance() {
    run(async {
        let office = Office::open().await;
        let glance = super::support::until(&office.board.health, "a glance", Option::is_some);
        let glance = glance.await.expect("there");
        assert_eq!(glance.status, Condition::Unknown);
        assert!(glance.no_result < Duration::from_mins(1));
        let Reply::Status(status) = office.ask(Request::Status).await else {
            panic!("a status");
        };
        let health = status.health.expect("there");
        assert_eq!(health.status, Condition::Unknown, "{health:?}");
        assert_eq!(status.http, office.http.address());
        office.close().await;
    });
}

#[test]
fn stale_work_is_shown_and_counted_until_the_threads_are_on_the_nodes_best_block() {
    run(async {
        let office = Office::open().await;
        let (old, best) = (
            BlockHash::from_byte_array([1; 32]),
            BlockHash::from_byte_array([2; 32]),
        );
        let thread = &office.board.registry.threads[0];
        let see = |hash| {
            office.board.tip_seen.send_replace(Some(TipSeen {
                hash,
                node: "local".into(),
                source: TipSource::Poll,
                seen_at: Instant::now(),
            }));
        };
        see(old);
        thread.set_parent(Some(old));
        see(best);
        let stale = until(&office.board.stale, "the alarm", Option::is_some).await;
        let stale = stale.expect("there is one");
        assert_eq!((stale.best, &*stale.threads), (best, &[0][..]));
        let Reply::Status(status) = office.ask(Request::Status).await else {
            panic!("that was no status")
        };
        let shown = status.mining.stale.expect("it is shown");
        assert_eq!(shown.best, best.to_string());
        assert!(shown.message.contains("hash-0"), "{shown:?}");
        assert_eq!(status.mining.stale_alarms, 1);
        let pipeline = office.health().await.components["pipeline"].clone();
        assert!(pipeline.status >= Condition::Warning, "{pipeline:?}");

        // Whoever looks may die meanwhile: it is the same alarm.
        office.harm("api", Fault::Panic).await;
        office.restarted("api").await;
        thread.set_parent(Some(best));
        until(&office.board.stale, "its end", Option::is_none).await;
        assert_eq!(office.board.registry.stale_alarms.get(), 1);
        office.close().await;
    });
}

//! Deliveries to receivers over real sockets, through every layer but the plan of who is told when.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tft_core::alert::{DeliveryOutcome, Notification};
use tft_core::time::Timestamp;

use super::message::tests::{alert, notification};
use super::{Deliveries, NotifyConfig, Planned};
use crate::clock::{Clock, ManualClock};
use crate::metrics::Metrics;

/// What a receiver does with the next connection.
type Behaviour = Box<dyn FnMut(&mut TcpStream) + Send>;

/// A receiver that answers the connections it gets as it is told, the last way for ever.
struct Hook {
    address: SocketAddr,
    requests: Receiver<String>,
}

impl Hook {
    fn start(behaviours: Vec<Behaviour>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = channel();
        thread::spawn(move || serve(&listener, behaviours, &sender));
        Self { address, requests }
    }

    /// Answers with these heads, one after the other.
    fn answering(heads: &[&str]) -> Self {
        let behaviours = heads.iter().map(|head| {
            let reply = format!("HTTP/1.1 {head}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            let behaviour: Behaviour = Box::new(move |stream| {
                let _ = stream.write_all(reply.as_bytes());
            });
            behaviour
        });
        Self::start(behaviours.collect())
    }

    /// The text of the next request.
    fn request(&self) -> String {
        self.requests.recv_timeout(PATIENCE).expect("no request in time")
    }
}

fn serve(listener: &TcpListener, mut behaviours: Vec<Behaviour>, requests: &Sender<String>) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let Some(request) = read_request(&mut stream) else { continue };
        if requests.send(request).is_err() {
            return;
        }
        behaviours[0](&mut stream);
        if behaviours.len() > 1 {
            drop(behaviours.remove(0));
        }
    }
}

fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap_or("0").parse().unwrap()];
    reader.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8(body).unwrap())
}

/// Deliveries of a configuration, with what became of messages and what was counted.
struct Running {
    deliveries: Deliveries,
    due: Arc<Mutex<Vec<Notification>>>,
    outcomes: Arc<Mutex<Vec<(String, DeliveryOutcome)>>>,
    metrics: Metrics,
}

impl Running {
    fn start(text: &str) -> Self {
        let config = NotifyConfig::parse(text, |_| Some(SECRET.to_owned())).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::parse(NOW).unwrap()));
        let (due, outcomes) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
        let (waiting, notes) = (Arc::clone(&due), Arc::clone(&outcomes));
        let planned = Planned {
            due: Box::new(move || std::mem::take(&mut *waiting.lock().unwrap())),
            outcomes: Arc::new(move |message, outcome| {
                notes.lock().unwrap().push((message.group_key.clone(), outcome));
            }),
        };
        let metrics = Metrics::new();
        let deliveries = Deliveries::start(&config, &clock, &metrics, planned).unwrap().unwrap();
        Self { deliveries, due, outcomes, metrics }
    }

    /// Has messages about groups be due at once.
    fn submit(&self, receiver: &str, groups: &[&str]) {
        let messages = groups.iter().map(|&group| {
            let mut message = notification(vec![alert("db-1", "critical", "firing")]);
            (message.receiver, message.group_key) = (receiver.into(), group.into());
            message
        });
        self.due.lock().unwrap().extend(messages);
    }

    fn count(&self, sample: &str) -> Option<f64> {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until a sample of the metrics has a value.
    fn wait_for(&self, sample: &str, value: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count(sample) != Some(value) {
            assert!(Instant::now() < deadline, "{sample} is {:?}, not {value}", self.count(sample));
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn outcomes(&self) -> Vec<(String, DeliveryOutcome)> {
        self.outcomes.lock().unwrap().clone()
    }

    /// The groups of the messages that were delivered.
    fn taken(&self) -> Vec<String> {
        let outcomes = self.outcomes().into_iter();
        outcomes
            .filter(|(_, outcome)| *outcome == DeliveryOutcome::Delivered)
            .map(|(group, _)| group)
            .collect()
    }
}

fn webhook(name: &str, address: SocketAddr, more: &str) -> String {
    format!(
        "[[receivers]]\nname = '{name}'\ntype = 'webhook'\nurl = 'http://{address}/hook/TOKEN12345'\nretry_first_ms = 10\n{more}\n"
    )
}

fn result(result: &str) -> String {
    format!("tft_notifications_total{{receiver=\"ops\",result=\"{result}\"}}")
}

const NOW: &str = "2026-01-05T12:00:30Z";
const PATIENCE: Duration = Duration::from_mins(1);
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const FAILURES: &str = "tft_notification_failures_total{receiver=\"ops\"}";

#[test]
fn a_message_is_signed_and_taken_once() {
    let hook = Hook::answering(&["204 No Content"]);
    let running = Running::start(&webhook("ops", hook.address, "secret_env = 'KEY'"));
    running.submit("ops", &["a"]);
    let request = hook.request();
    running.wait_for(&result("sent"), 1.0);
    assert_eq!(running.taken(), ["a"]);
    running.wait_for("tft_notification_last_success_timestamp_seconds{receiver=\"ops\"}", 1_767_614_430.0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook/TOKEN12345 HTTP/1.1\r\n"), "{head}");
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(&format!("{name}: "))).unwrap();
    assert_eq!(header("webhook-timestamp"), "1767614430");
    let signed = format!("{}.{}.{body}", header("webhook-id"), header("webhook-timestamp"));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
    let encoded = header("webhook-signature").strip_prefix("v1,").unwrap();
    let tag = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded).unwrap();
    ring::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();
    assert!(ring::hmac::verify(&key, (signed + " ").as_bytes(), &tag).is_err());
}

#[test]
fn a_failing_receiver_is_tried_again_with_the_same_id() {
    let hook =
        Hook::answering(&["500 Oops", "503 Later", "429 Slow\r\nRetry-After: 0", "408 Slow", "200 OK"]);
    let running = Running::start(&webhook("ops", hook.address, ""));
    running.submit("ops", &["a"]);
    running.wait_for(&result("sent"), 1.0);
    assert_eq!((running.count(FAILURES), running.taken().len()), (Some(4.0), 1));
    let requests: Vec<_> = (0..5).map(|_| hook.request()).collect();
    assert!(requests.iter().all(|request| request == &requests[0]), "{requests:?}");
}

#[test]
fn a_refusal_is_final_and_not_taken_for_success() {
    for head in
        ["400 Bad", "404 Gone", "301 Moved\r\nLocation: http://127.0.0.1:9/", "307 Moved\r\nLocation: /other"]
    {
        let hook = Hook::answering(&[head]);
        let running = Running::start(&webhook("ops", hook.address, ""));
        running.submit("ops", &["a"]);
        running.wait_for(&result("failed"), 1.0);
        running.deliveries.stop();
        let retry_at = Timestamp::parse(NOW).unwrap().plus_millis(3_600_000);
        assert_eq!(
            *running.outcomes.lock().unwrap(),
            [("a".to_owned(), DeliveryOutcome::Failed { retry_at })]
        );
        hook.request();
        assert!(hook.requests.try_recv().is_err(), "{head} was tried again or followed");
    }
}

#[test]
fn dropped_connections_and_rubbish_are_tried_again() {
    let rubbish: Behaviour = Box::new(|stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n");
    });
    let half: Behaviour = Box::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200");
    });
    let headers: Behaviour = Box::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-More: and more\r\n").is_ok() {}
    });
    let endless: Behaviour = Box::new(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 503 Busy\r\n\r\n");
        while stream.write_all(&[b'x'; 1024]).is_ok() {}
    });
    let good: Behaviour = Box::new(|stream| {
        // A body that does not end says no more than the status.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx");
        thread::sleep(Duration::from_millis(50));
    });
    let hook = Hook::start(vec![Box::new(|_| ()), rubbish, half, headers, endless, good]);
    let running = Running::start(&webhook("ops", hook.address, ""));
    running.submit("ops", &["a"]);
    running.wait_for(&result("sent"), 1.0);
    assert_eq!(running.count(FAILURES), Some(5.0));
}

#[test]
fn a_stalled_receiver_holds_up_nobody_else_and_the_newest_of_a_group_is_kept() {
    let (release, held) = channel::<()>();
    let stall: Behaviour = Box::new(move |stream| {
        let _ = held.recv();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    });
    let (slow, hook) = (Hook::start(vec![stall]), Hook::answering(&["200 OK"]));
    let text = webhook("slow", slow.address, "queue_max = 2\ntimeout_ms = 120000")
        + &webhook("ops", hook.address, "");
    let running = Running::start(&text);
    running.submit("slow", &["a"]);
    slow.request();
    running.submit("slow", &["b", "b", "c", "d"]);
    running.submit("ops", &["a"]);
    running.wait_for(&result("sent"), 1.0);
    let of_slow = |result: &str| format!("tft_notifications_total{{receiver=\"slow\",result=\"{result}\"}}");
    assert_eq!(running.count(&of_slow("sent")), Some(0.0));
    assert_eq!(running.count(&of_slow("superseded")), Some(1.0));
    assert_eq!(running.count(&of_slow("dropped")), Some(1.0));
    let retry_at = Timestamp::parse(NOW).unwrap().plus_millis(60_000);
    assert!(running.outcomes().contains(&("d".to_owned(), DeliveryOutcome::Failed { retry_at })));
    assert_eq!(running.count("tft_notification_queue_length{receiver=\"slow\"}"), Some(2.0));
    drop(release);
    running.wait_for(&of_slow("sent"), 3.0);
}

#[test]
fn a_receiver_that_does_not_answer_is_given_up_in_time() {
    let (_held, never) = channel::<()>();
    let stall: Behaviour = Box::new(move |_| {
        let _ = never.recv();
    });
    let hook = Hook::start(vec![stall]);
    let running = Running::start(&webhook("ops", hook.address, "timeout_ms = 200\nretry_for_ms = 300"));
    running.submit("ops", &["a"]);
    running.wait_for(&result("failed"), 1.0);
    let outcomes = running.outcomes();
    assert!(matches!(outcomes[..], [(_, DeliveryOutcome::Failed { .. })]), "{outcomes:?}");
}

#[test]
fn one_bad_message_does_not_keep_the_others() {
    let hook = Hook::answering(&["500 Oops", "200 OK", "500 Oops", "200 OK"]);
    let running = Running::start(&webhook("ops", hook.address, ""));
    running.submit("ops", &["a", "b"]);
    running.wait_for(&result("sent"), 2.0);
    assert_eq!(running.taken(), ["b", "a"]);
}

#[test]
fn a_stop_tries_what_waits_once_more() {
    let hook = Hook::answering(&["503 Later\r\nRetry-After: 300", "200 OK"]);
    let running = Running::start(&webhook("ops", hook.address, ""));
    running.submit("ops", &["a"]);
    running.wait_for(FAILURES, 1.0);
    running.wait_for("tft_notification_queue_length{receiver=\"ops\"}", 1.0);
    running.deliveries.stop();
    assert_eq!(*running.outcomes.lock().unwrap(), [("a".to_owned(), DeliveryOutcome::Delivered)]);
}

//! Explanations over the wire: what they say, that they are made once, and that they cannot be asked for without end.

use serde_json::{Value, json};

use crate::harness::{TestServer, history};

fn lenient(config: &mut tft_service::Config) {
    config.rate_limits.other = 10_000;
    config.rate_limits.predictions = 10_000;
}

/// A server whose processor gets busier and busier.
fn growing() -> TestServer {
    let server = TestServer::with(lenient);
    server.feed_records(&history("ppdb001", 700, |step| {
        30.0 + f64::from(step % 5) + 0.3 * f64::from(step.saturating_sub(550))
    }));
    server.predictions_of(700);
    server
}

fn ask(server: &TestServer, name: &str, body: &Value) -> (u16, Value) {
    let reply = server.with_key("POST", &format!("/explain/{name}/what-if")).json(body.to_string()).send();
    (reply.status, reply.json())
}

#[test]
fn an_explanation_says_what_stands_out_and_what_would_help() {
    let server = growing();
    let reply = server.get("/explain/ppdb001");
    assert_eq!(reply.status, 200, "{}", reply.body);
    let reply = reply.json();
    assert_eq!((&reply["server_name"], &reply["method"]), (&json!("ppdb001"), &json!("tft")));
    assert_eq!(
        reply["forecast_start"],
        server.get("/predictions/current").json()["metadata"]["forecast_start"]
    );
    let named = reply["at_fault"].as_array().unwrap();
    assert!(named.iter().any(|metric| metric == "cpu_user_pct" || metric == "cpu_idle_pct"), "{named:?}");
    assert!(named.len() <= 3 && reply["summary"].as_str().unwrap().contains(named[0].as_str().unwrap()));
    let ranked = reply["feature_importance"].as_array().unwrap();
    assert_eq!((ranked.len(), &ranked[0]["metric"]), (4, &named[0]));
    let scores: Vec<f64> = ranked.iter().map(|metric| metric["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    assert_eq!(reply["attention"].as_array().unwrap().len(), 4);
    let scenarios = reply["counterfactuals"].as_array().unwrap();
    assert!(!scenarios.is_empty() && reply["counterfactual_scope"] == "one_metric");
    assert_eq!(scenarios[0]["changed"]["p50"].as_array().unwrap().len(), 96);
}

#[test]
fn a_question_is_answered_by_the_model() {
    let server = growing();
    let question = json!({ "metric": "cpu_user_pct", "change": "hold", "last_steps": 48 });
    let (status, reply) = ask(&server, "ppdb001", &question);
    assert_eq!(status, 200, "{reply}");
    let answer = &reply["counterfactual"];
    let peak = |of: &str| answer[of]["peak"]["p50"].as_f64().unwrap();
    assert!(peak("changed") < peak("actual"), "{}", answer["scenario"]);
    assert_eq!((&answer["change"], &answer["amount"]), (&json!("hold"), &json!(null)));
    let question = json!({ "metric": "mem_used_pct", "change": { "offset": 35 }, "last_steps": 3 });
    let (_, reply) = ask(&server, "ppdb001", &question);
    let answer = &reply["counterfactual"];
    assert_eq!((&answer["amount"], &answer["changed"]["current"]), (&json!(35.0), &json!(95.0)));
    assert!(answer["changed"]["risk_score"].as_f64() > answer["actual"]["risk_score"].as_f64());
}

#[test]
fn what_cannot_be_answered_says_why() {
    let server = TestServer::with(lenient);
    server.feed_records(&history("ppdb001", 3, |_| 20.0));
    server.predictions_of(3);
    let short = server.get("/explain/ppdb001").json();
    assert_eq!((&short["method"], &short["attention"]), (&json!("fallback"), &json!([])));
    assert_eq!(server.get("/explain/nobody").status, 404);
    assert_eq!(server.get("/explain/a%20b").status, 404);
    let good = json!({ "metric": "mem_used_pct", "change": "hold", "last_steps": 1 });
    assert_eq!(ask(&server, "nobody", &good).0, 404);
    for (field, value, wanted) in [
        ("metric", json!("x".repeat(500)), 422),
        ("last_steps", json!(0), 422),
        ("change", json!({ "scale": -1 }), 422),
        ("change", json!("burn"), 400),
        ("change", json!({ "scale": 1, "offset": 1 }), 400),
        ("last_steps", json!(-1), 400),
        ("more", json!(1), 400),
    ] {
        let mut bad = good.clone();
        bad[field] = value;
        let (status, reply) = ask(&server, "ppdb001", &bad);
        assert_eq!(status, wanted, "{bad}: {reply}");
        assert!(reply["detail"].as_str().unwrap().len() < 300, "{reply}");
    }
    let other_type = server.with_key("POST", "/explain/ppdb001/what-if").header("Content-Type", "text/plain");
    assert_eq!(other_type.body("x").send().status, 415);
    let large = server.with_key("POST", "/explain/ppdb001/what-if").json(" ".repeat(5000));
    assert_eq!(large.send().status, 413);
}

#[test]
fn an_explanation_is_made_once_per_snapshot() {
    let server = growing();
    let first = server.get("/explain/ppdb001").body;
    assert_eq!(server.get("/explain/ppdb001").body, first);
    assert_eq!(explanations(&server), 1, "the second one was kept");
    let question = json!({ "metric": "mem_used_pct", "change": { "scale": 0.5 }, "last_steps": 4 });
    ask(&server, "ppdb001", &question);
    ask(&server, "ppdb001", &question);
    assert_eq!(explanations(&server), 3, "questions are not kept");
    server.feed_records(&history("ppdb002", 30, |_| 20.0));
    server.predictions_of(730);
    server.get("/explain/ppdb001");
    assert_eq!(explanations(&server), 4, "a new snapshot has none yet");
}

#[test]
fn more_questions_than_can_wait_are_refused_and_the_service_goes_on() {
    let server = growing();
    let replies: Vec<_> = std::thread::scope(|scope| {
        let ask = |number: usize| {
            let body = json!({ "metric": "mem_used_pct", "change": { "offset": number }, "last_steps": 40 });
            server.with_key("POST", "/explain/ppdb001/what-if").json(body.to_string()).send()
        };
        let asking: Vec<_> = (0..64).map(|number| scope.spawn(move || ask(number))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let (answered, refused): (Vec<_>, Vec<_>) = replies.iter().partition(|reply| reply.status == 200);
    assert!(answered.len() >= 8, "{}", answered.len());
    for reply in refused {
        assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("1")), "{}", reply.body);
    }
    assert_eq!(server.get("/explain/ppdb001").status, 200);
}

/// How many explanations and answers the inference thread has made.
fn explanations(server: &TestServer) -> u64 {
    let text = server.get("/metrics").body;
    let line = text.lines().find(|line| line.starts_with("tft_explanations_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

//! `/alerts/active` and `/alerts/rules`: the alerts of the newest snapshot, why some of them are not told, and the rules that
//! made them.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::Bytes;
use tft_core::alert::AlertState;
use tft_core::time::Timestamp;

use super::Context;
use crate::http::{Query, Refusal, Reply, Request, json, json_of};
use crate::openapi::{Operation, one_of, some_of, text};
use crate::state::ServiceState;
use crate::suppression::Suppression;
use crate::wire::{AlertFilter, AlertsReply, RulesReply, render_alerts};

pub(super) async fn active(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let filter = AlertFilter::parse(&Query::parse(request.uri().query())?)?;
    let (state, now) = (Arc::clone(&context.state), context.shared.clock.now());
    let rendering = tokio::task::spawn_blocking(move || render(&state, &filter, now));
    Ok(json(StatusCode::OK, rendering.await.map_err(|_| Refusal::Internal)?))
}

pub(super) fn describe(operation: Operation<'_>) -> Operation<'_> {
    let flag = || one_of(&["true", "false"]);
    operation
        .query("server", "Names of servers, separated by commas; all if left out.", text())
        .query(
            "state",
            "`pending`, `firing` and `no_data`, separated by commas; all if left out.",
            some_of(&AlertFilter::STATES.map(AlertState::as_str)),
        )
        .query("silenced", "Only alerts that a silence covers, or only others.", flag())
        .query("inhibited", "Only alerts that another alert inhibits, or only others.", flag())
        .query("acknowledged", "Only alerts that somebody knows of, or only others.", flag())
        .replies::<AlertsReply<'_>>(200, "The alerts that are pending, firing or without data.")
}

/// Renders anew where a part is asked for, or other alerts are silenced or acknowledged than when the snapshot was made.
fn render(state: &ServiceState, filter: &AlertFilter, now: Timestamp) -> Bytes {
    let snapshot = state.snapshot();
    let view = &snapshot.view;
    let current = {
        let mut notifier = state.notifier().lock();
        notifier.advance(now);
        let is_current = notifier.revision() == view.suppression.revision();
        if is_current && filter.is_everything() {
            return snapshot.alerts_json.clone();
        }
        Suppression::of(&notifier)
    };
    render_alerts(view, &current, filter).into()
}

pub(super) fn rules(state: &ServiceState) -> Reply {
    json_of(StatusCode::OK, &RulesReply::new(&state.snapshot().view))
}

pub(super) fn describe_rules(operation: Operation<'_>) -> Operation<'_> {
    operation.replies::<RulesReply<'_>>(200, "The rules of the fleet and of the service itself.")
}

//! `/historical/…`: what happened to alerts and how the fleet was; and notes about alerts.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::json;
use tft_core::alert::{Severity, Silence};
use tft_core::history::{
    AlertEvent, EventKind, FleetSnapshot, History, HistoryEntry, HistoryRow, ParquetExport, Query as Rows,
    Table,
};
use tft_core::time::Timestamp;
use tft_core::{Error, ErrorKind};

use super::Context;
use crate::error::in_one_line;
use crate::http::{Query, Refusal, Reply, Request, bytes, json_of, read_json};
use crate::layers::{Call, Outcome};
use crate::openapi::{Operation, instant, integer, one_of, text};
use crate::wire::{
    AlertHistoryReply, EnvironmentReply, ExportFormat, HistorySummaryReply, NoteReply, ServerHistoryReply,
    TimeRange, add_csv_rows, csv_head, shorten,
};

/// The body of `POST /alerts/{fingerprint}/notes`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteRequest {
    note: String,
    #[serde(default)]
    actor: Option<String>,
}

/// Answers with figures of a time.
pub(super) async fn summary(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let asked = Asked::read(context, request, "1d")?;
    let (from, to) = (asked.rows.from, asked.rows.to);
    let summary = read(context, move |history| history.summary(from, to)).await?;
    Ok(json_of(StatusCode::OK, &HistorySummaryReply::new(asked.range, &summary)))
}

pub(super) fn describe_summary(operation: Operation<'_>) -> Operation<'_> {
    with_time(operation, "1d").replies::<HistorySummaryReply>(200, "The time in figures.").refuses(&[404])
}

/// Answers with events, the newest first.
pub(super) async fn alerts(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let asked = Asked::read(context, request, "1h")?;
    let rows = asked.rows;
    let (page, lives) = read(context, move |history| with_lives(history, &rows)).await?;
    Ok(json_of(StatusCode::OK, &AlertHistoryReply::new(asked.range, page, &lives)))
}

pub(super) fn describe_alerts(operation: Operation<'_>) -> Operation<'_> {
    with_page(with_filters(with_time(operation, "1h")))
        .query("server", "Only events of this server; also `server_name`.", text())
        .replies::<AlertHistoryReply>(200, "A page of events.")
        .refuses(&[404])
}

/// Answers with events of one server, the newest first.
pub(super) async fn server(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let mut asked = Asked::read(context, request, "1d")?;
    let name = Call::of(request).parameter.unwrap_or_default();
    asked.rows.server = Some(name.clone());
    let rows = asked.rows;
    let (page, lives) = read(context, move |history| with_lives(history, &rows)).await?;
    Ok(json_of(StatusCode::OK, &ServerHistoryReply::new((name, asked.range), page, &lives)))
}

pub(super) fn describe_server(operation: Operation<'_>) -> Operation<'_> {
    with_page(with_filters(with_time(operation, "1d")))
        .path("name", "The server's name; one without events has an empty page.", text())
        .replies::<ServerHistoryReply>(200, "A page of events, and figures of it.")
}

/// Answers with snapshots of the fleet.
pub(super) async fn environment(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let asked = Asked::read(context, request, "1h")?;
    let rows = asked.rows;
    let page = read(context, move |history| history.snapshots(&rows)).await?;
    Ok(json_of(StatusCode::OK, &EnvironmentReply::new(asked.range, page)))
}

pub(super) fn describe_environment(operation: Operation<'_>) -> Operation<'_> {
    with_page(with_time(operation, "1h"))
        .replies::<EnvironmentReply>(200, "A page of snapshots.")
        .refuses(&[404])
}

/// Answers with a table as a file.
pub(super) async fn export(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let query = Query::parse(request.uri().query())?;
    let format = match query.value("format").unwrap_or("csv") {
        "csv" => ExportFormat::Csv,
        "parquet" => ExportFormat::Parquet,
        _ => return Err(Refusal::NotAcceptable { offered: "`format=csv` and `format=parquet`" }),
    };
    let name = Call::of(request).parameter.unwrap_or_default();
    let table = Table::parse(&name).ok_or_else(|| {
        Refusal::NotFound(format!("there is no table `{}`, but alerts and environment", shorten(&name)))
    })?;
    let asked = Asked::read(context, request, "1d")?;
    let permit = Arc::clone(&context.exports).try_acquire_owned().map_err(|_| Refusal::Busy)?;
    let rows = asked.rows;
    let exported = read(context, move |history| {
        let _until_written = permit;
        match table {
            Table::Alerts => written::<AlertEvent>(history, rows, format),
            _ => written::<FleetSnapshot>(history, rows, format),
        }
    });
    let (body, next) = exported.await?;
    let mut reply = bytes(StatusCode::OK, format.media_type(), body);
    let file = format!("history_{}_{}.{}", table.as_str(), asked.range.time_range, format.name());
    let disposition = HeaderValue::from_str(&format!("attachment; filename=\"{file}\""));
    if let Ok(disposition) = disposition {
        reply.headers_mut().insert(hyper::header::CONTENT_DISPOSITION, disposition);
    }
    if let Some(next) = next {
        reply.headers_mut().insert(HeaderName::from_static("x-history-next"), next.into());
    }
    Ok(reply)
}

pub(super) fn describe_export(operation: Operation<'_>) -> Operation<'_> {
    let (csv, parquet) = (ExportFormat::Csv, ExportFormat::Parquet);
    with_filters(with_time(operation, "1d"))
        .path("table", "The table.", one_of(&Table::ALL.map(Table::as_str)))
        .query("format", "`csv` if left out.", one_of(&[csv.name(), parquet.name()]))
        .query("server", "Only events of this server; also `server_name`.", text())
        .query(
            "before",
            "Only rows before this place: the header X-History-Next of the part before.",
            integer(1, PLACE_MAX),
        )
        .query("limit", "Most rows; 100000 if left out.", integer(1, EXPORT_ROWS_MAX))
        .replies_with(
            200,
            csv.media_type(),
            "The rows, the newest first; X-History-Next is set if there are more.",
            text(),
        )
        .replies_with(200, parquet.media_type(), "", json!({}))
        .refuses(&[404, 406])
}

/// Adds a note to an alert, and answers when it is kept.
///
/// # Cancel safety
/// Once the body is read, the note is kept even if the client goes away.
pub(super) async fn add_note(context: &Context, request: &mut Request) -> Result<Reply, Refusal> {
    let call = Call::of(request);
    let fingerprint = call.parameter.clone().unwrap_or_default();
    let asked: NoteRequest = read_json(request, &context.shared.limits, NOTE_BODY_BYTES_MAX).await?;
    let own_name = call.principal.map(|principal| principal.key_id()).unwrap_or_default();
    let actor = asked.actor.filter(|actor| !actor.is_empty()).unwrap_or(own_name);
    let alert = alert_of(context, &fingerprint).await?;
    let now = context.shared.clock.now();
    let note = alert.followed_by(EventKind::Note, now, (&actor, &asked.note));
    let note = note.map_err(|error| Refusal::Unprocessable(error.to_string()))?;
    let entry = HistoryEntry::from(note.clone());
    let appended = read(context, move |history| history.append(&[entry])).await?;
    if appended.count == 0 {
        return Err(Refusal::Busy);
    }
    let mut reply = json_of(StatusCode::OK, &NoteReply::new(&note, appended.first_sequence));
    let reason = Some(format!("note about alert `{}`", shorten(&fingerprint)));
    reply.extensions_mut().insert(Outcome { reason, ..Outcome::default() });
    Ok(reply)
}

pub(super) fn describe_note(operation: Operation<'_>) -> Operation<'_> {
    let body = json!({
        "type": "object",
        "properties": {
            "note": { "type": "string", "minLength": 1, "description": "At most 4096 bytes." },
            "actor": {
                "type": ["string", "null"],
                "description": "Who writes, at most 256 bytes; the key's id or the token's subject if left out.",
            },
        },
        "required": ["note"],
        "additionalProperties": false,
    });
    operation
        .path("fingerprint", "The alert's fingerprint, 16 hexadecimal digits.", text())
        .body(true, body)
        .replies::<NoteReply>(200, "The note is kept.")
        .refuses(&[422])
}

/// Keeps what somebody did about an alert. That it was done does not depend on it: what cannot be kept is logged.
pub(super) async fn record_about(context: &Context, fingerprint: &str, kind: EventKind, said: (&str, &str)) {
    if context.history.is_none() {
        return;
    }
    let now = context.shared.clock.now();
    if let Ok(alert) = alert_of(context, fingerprint).await {
        record(context, alert.followed_by(kind, now, said)).await;
    }
}

/// Keeps what somebody did about a silence, in the same way.
pub(super) async fn record_silence(context: &Context, silence: &Silence, kind: EventKind, who: &str) {
    if context.history.is_none() {
        return;
    }
    let matchers: Vec<_> = silence.matchers.iter().map(ToString::to_string).collect();
    let about = (silence.id.as_str(), &*matchers.join(", "), Some(silence.ends_at));
    let now = context.shared.clock.now();
    record(context, AlertEvent::silence(kind, now, about, (who, &silence.comment))).await;
}

async fn record(context: &Context, event: Result<AlertEvent, Error>) {
    match event {
        // A failure is logged where it happens.
        Ok(event) => drop(read(context, move |history| history.append(&[event.into()])).await),
        Err(error) => {
            tracing::error!(error = in_one_line(&error), "an action could not become history");
        }
    }
}

/// Finds an alert among those that are active, or else the last that the history has of it.
async fn alert_of(context: &Context, fingerprint: &str) -> Result<AlertEvent, Refusal> {
    let snapshot = context.state.snapshot();
    let active = snapshot.view.assessment.alerts.iter().find(|alert| alert.fingerprint == fingerprint);
    if let Some(alert) = active {
        let found = AlertEvent::action(alert, EventKind::Transition, snapshot.view.assessment.at, ("", ""));
        return found.map_err(|_| Refusal::Internal);
    }
    let kind = Some(EventKind::Transition);
    let query = Rows { fingerprint: Some(fingerprint.to_owned()), kind, limit: 1, ..Rows::default() };
    let page = read(context, move |history| history.alerts(&query)).await?;
    let unknown = || Refusal::NotFound(format!("there is no alert `{}`", shorten(fingerprint)));
    page.rows.into_iter().next().ok_or_else(unknown)
}

type WithLives = (tft_core::history::Page<AlertEvent>, crate::wire::Lives);

fn with_lives(history: &History, rows: &Rows) -> Result<WithLives, Error> {
    let page = history.alerts(rows)?;
    let lives = history.lives(page.rows.iter().filter_map(AlertEvent::life))?;
    Ok((page, lives))
}

/// Writes rows as a file; returns where the rest begins, if there is any.
fn written<R: HistoryRow>(
    history: &History,
    mut rows: Rows,
    format: ExportFormat,
) -> Result<(Vec<u8>, Option<u64>), Error> {
    let mut left = rows.limit;
    let (mut content, mut csv) = (Vec::new(), csv_head::<R>());
    let mut parquet = (format == ExportFormat::Parquet).then(ParquetExport::new::<R>).transpose()?;
    loop {
        rows.limit = left.min(Rows::LIMIT_MAX);
        let page = history.page::<R>(&rows)?;
        left -= page.rows.len().min(left);
        match &mut parquet {
            Some(parquet) => content.append(&mut parquet.add(&page.rows)?),
            None => add_csv_rows(&page.rows, &mut csv),
        }
        rows.before = page.next;
        if page.next.is_none() || left == 0 {
            break;
        }
    }
    match parquet {
        Some(parquet) => content.append(&mut parquet.finish()?),
        None => content = csv.into_bytes(),
    }
    Ok((content, rows.before))
}

/// Carries out what reads or writes files on a thread that may wait.
async fn read<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&History) -> Result<T, Error> + Send + 'static,
) -> Result<T, Refusal> {
    let none = || Refusal::NotFound("no history is kept: TFT_HISTORY_DIR is `none`".into());
    let history = context.history.clone().ok_or_else(none)?;
    let done = tokio::task::spawn_blocking(move || work(&history)).await.map_err(|_| Refusal::Internal)?;
    done.map_err(|error| {
        if error.kind() == ErrorKind::InvalidInput {
            return Refusal::BadRequest(error.to_string());
        }
        tracing::error!(error = in_one_line(&error), "the history could not be read or written");
        Refusal::Busy
    })
}

/// What a query asks for.
struct Asked {
    range: TimeRange,
    rows: Rows,
}

impl Asked {
    fn read(context: &Context, request: &Request, default_range: &str) -> Result<Self, Refusal> {
        let query = Query::parse(request.uri().query())?;
        let (now, is_export) = (context.shared.clock.now(), request.uri().path().contains("/export/"));
        let (name, from, to) = time_of(&query, default_range, now)?;
        let max = if is_export { EXPORT_ROWS_MAX } else { Rows::LIMIT_MAX };
        let default = if is_export { EXPORT_ROWS_MAX } else { PAGE_ROWS };
        let own = |name: &str| query.value(name).map(str::to_owned);
        let rows = Rows {
            from: Some(from),
            to: Some(to),
            before: query
                .value("before")
                .map(|text| parse_number("before", text, PLACE_MAX))
                .transpose()?
                .map(|before| before as u64),
            limit: query.value("limit").map_or(Ok(default), |text| parse_number("limit", text, max))?,
            server: own("server").or(own("server_name")),
            severity: query.value("severity").map(parse_severity).transpose()?,
            rule: own("rule"),
            kind: query.value("kind").map(parse_kind).transpose()?,
            fingerprint: own("fingerprint"),
        };
        Ok(Self { range: TimeRange::new(&name, from, to), rows })
    }
}

/// Reads the time that is asked for: given instants, or a range that ends now.
fn time_of(
    query: &Query,
    default_range: &str,
    now: Timestamp,
) -> Result<(String, Timestamp, Timestamp), Refusal> {
    let instant = |name: &str| {
        let text = query.value(name);
        text.map(|text| {
            Timestamp::parse(text).map_err(|error| Refusal::BadRequest(format!("{name}: {error}")))
        })
        .transpose()
    };
    // The newest rows may be of this very millisecond.
    let after_now = now.plus_millis(1);
    let (from, to) = (instant("from")?, instant("to")?);
    if from.is_some() || to.is_some() {
        let to = to.unwrap_or(after_now);
        let from = from.unwrap_or(Timestamp::MIN);
        if from > to {
            return Err(Refusal::BadRequest("`from` is later than `to`".into()));
        }
        return Ok(("custom".to_owned(), from, to));
    }
    let name = query.value("range").or(query.value("time_range")).unwrap_or(default_range);
    let found = RANGES.into_iter().find(|(known, _)| *known == name);
    let (name, minutes) = found.ok_or_else(|| {
        let known = RANGES.map(|(name, _)| name).join(", ");
        Refusal::BadRequest(format!("range `{}` is not one of {known}", shorten(name)))
    })?;
    Ok((name.to_owned(), now.plus_millis(-60_000 * minutes), after_now))
}

fn parse_number(name: &str, text: &str, max: usize) -> Result<usize, Refusal> {
    let number = text.parse().ok().filter(|number| (1..=max).contains(number));
    number
        .ok_or_else(|| Refusal::BadRequest(format!("{name} `{}` is not a number, 1 to {max}", shorten(text))))
}

fn parse_severity(text: &str) -> Result<Severity, Refusal> {
    Severity::ALL.into_iter().find(|severity| severity.as_str() == text).ok_or_else(|| {
        let known = Severity::ALL.map(Severity::as_str).join(", ");
        Refusal::BadRequest(format!("severity `{}` is not one of {known}", shorten(text)))
    })
}

fn parse_kind(text: &str) -> Result<EventKind, Refusal> {
    EventKind::parse(text).ok_or_else(|| {
        let known = EventKind::ALL.map(EventKind::as_str).join(", ");
        Refusal::BadRequest(format!("kind `{}` is not one of {known}", shorten(text)))
    })
}

fn with_time<'d>(operation: Operation<'d>, default_range: &str) -> Operation<'d> {
    let known = RANGES.map(|(name, _)| name);
    operation
        .query("range", &format!("The time that ends now; `{default_range}` if left out."), one_of(&known))
        .query("time_range", "The same.", one_of(&known))
        .query("from", "The earliest instant, RFC 3339 or Unix time; takes the place of a range.", instant())
        .query("to", "The instant before which everything is; now if left out.", instant())
}

fn with_filters(operation: Operation<'_>) -> Operation<'_> {
    operation
        .query(
            "severity",
            "Only events of alerts of this severity.",
            one_of(&Severity::ALL.map(Severity::as_str)),
        )
        .query("rule", "Only events of this rule.", text())
        .query("kind", "Only events of this kind.", one_of(&EventKind::ALL.map(EventKind::as_str)))
        .query("fingerprint", "Only events of the alert with this fingerprint.", text())
}

fn with_page(operation: Operation<'_>) -> Operation<'_> {
    operation
        .query("before", "Only rows before this place: `next` of the page before.", integer(1, PLACE_MAX))
        .query("limit", "Most rows of the page; 1000 if left out.", integer(1, Rows::LIMIT_MAX))
}

/// The ranges and their minutes.
const RANGES: [(&str, i64); 6] =
    [("30m", 30), ("1h", 60), ("8h", 480), ("1d", 1440), ("1w", 10_080), ("1M", 43_200)];
const PAGE_ROWS: usize = 1000;
/// No row's place is further.
const PLACE_MAX: usize = usize::MAX >> 1;
/// Most rows of an export, which is held in memory: some tens of megabytes.
const EXPORT_ROWS_MAX: usize = 100_000;
/// A note, whose characters may be escaped, and who wrote it.
const NOTE_BODY_BYTES_MAX: usize = 32 << 10;

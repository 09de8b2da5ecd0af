//! The text of `model verify`.

use std::fmt::Write;

use tft_core::model::{Executor, OutputDifference, Verification};

/// Returns a line per output of each executor, and a verdict.
pub(super) fn text(verification: &Verification) -> String {
    let mut text = format!(
        "{:<8} {:<18} {:>9} {:>9}  {:<18} verdict\n",
        "run by", "output", "largest", "relative", "tolerance"
    );
    for output in &verification.outputs {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(output));
    }
    text + &verdict(verification) + "\n"
}

fn line(output: &OutputDifference) -> String {
    let verdict = if output.is_within_tolerance() { "ok" } else { "differs" };
    let OutputDifference { executor, output: name, largest_absolute, largest_relative, tolerance, .. } =
        output;
    let tolerance = tolerance.to_string();
    format!(
        "{executor:<8} {name:<18} {largest_absolute:>9.1e} {largest_relative:>9.1e}  {tolerance:<18} {verdict}"
    )
}

fn verdict(verification: &Verification) -> String {
    let (windows, from_rows) = (verification.windows, verification.windows_from_rows);
    let windows = match from_rows {
        0 => format!("{windows} windows from tensors"),
        _ => format!("{windows} windows from tensors, {from_rows} from raw rows"),
    };
    let by = |executor: &Executor| -> Vec<&OutputDifference> {
        verification.outputs.iter().filter(|output| output.executor == *executor).collect()
    };
    let all = |executor: &Executor| format!("{} by {executor}", by(executor).len());
    let differing = |executor: &Executor| {
        let outputs = by(executor);
        let count = outputs.iter().filter(|output| !output.is_within_tolerance()).count();
        format!("{count} of {} by {executor}", outputs.len())
    };
    if verification.is_within_tolerance() {
        return format!("verified: all outputs are within their tolerance, {} ({windows})", each(all));
    }
    format!("differs: outputs are beyond their tolerance, {} ({windows})", each(differing))
}

/// Joins a clause about every executor.
fn each(clause: impl Fn(&Executor) -> String) -> String {
    Executor::ALL.iter().map(clause).collect::<Vec<_>>().join(", ")
}
